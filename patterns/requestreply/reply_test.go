package requestreply_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// The ctx of a handler ends when the requester stops waiting.
func TestHandlerDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		took := make(chan time.Duration, 1)
		defer respond(t, s.Connect("responder"), requestreply.Config{},
			requestreply.Handle("prices.quote", func(ctx context.Context, _ quote) (price, error) {
				start := time.Now()
				<-ctx.Done()
				took <- time.Since(start)
				return price{}, ctx.Err()
			}))()
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		_, err := request(ctx, s.Connect("requester"), "x")
		require.Error(t, err)
		require.Equal(t, 700*time.Millisecond, <-took)
	})
}

// The timeout of requester and handler passes at the same instant. The requester fails
// with DeadlineExceeded, never with code 500.
func TestTooLate(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		defer respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", prices))()
		nc := s.Connect("requester")
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			_, err := request(ctx, nc, "slow-1")
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	})
}

// Five requests of a second each take a second; with a Concurrency of two, three.
func TestConcurrent(t *testing.T) {
	for limit, want := range map[int]time.Duration{0: time.Second, 2: 3 * time.Second} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			defer respond(t, s.Connect("responder"), requestreply.Config{Concurrency: limit}, requestreply.Handle("prices.quote", prices))()
			nc, start := s.Connect("requester"), time.Now()
			var all sync.WaitGroup
			for i := range 5 {
				all.Go(func() {
					_, err := request(t.Context(), nc, fmt.Sprintf("slow-%d", i))
					assert.NoError(t, err)
				})
			}
			all.Wait()
			require.Equal(t, want, time.Since(start))
		})
	}
}
