package requestreply_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// Requests in flight receive their reply. Requests that arrive while the service stops
// fail at once.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		end := respond(t, s.Connect("responder"), requestreply.Config{Concurrency: 3}, requestreply.Handle("prices.quote", prices))
		nc := s.Connect("requester")
		replies := make(chan error, 9)
		for i := range 9 {
			go func() { _, err := request(t.Context(), nc, fmt.Sprintf("slow-%d", i)); replies <- err }()
		}
		time.Sleep(500 * time.Millisecond)
		start := time.Now()
		end()
		require.GreaterOrEqual(t, time.Since(start), 500*time.Millisecond)
		replied := 0
		for range 9 {
			var refused *requestreply.Error
			if err := <-replies; err == nil {
				replied++
			} else {
				require.ErrorAs(t, err, &refused)
				require.Equal(t, "503", refused.Code)
			}
		}
		require.GreaterOrEqual(t, replied, 3, "the requests in flight")
		_, err := request(t.Context(), nc, "apple")
		require.ErrorIs(t, err, requestreply.ErrNoResponders)
	})
}

// The ctx of a handler ends after Grace.
func TestStopGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		end := respond(t, s.Connect("responder"), requestreply.Config{Grace: 2 * time.Second},
			requestreply.Handle("prices.quote", func(ctx context.Context, _ quote) (price, error) {
				<-ctx.Done()
				return price{}, ctx.Err()
			}))
		nc, done := s.Connect("requester"), make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { defer close(done); _, _ = request(ctx, nc, "x") }()
		time.Sleep(time.Second)
		start := time.Now()
		end()
		require.Equal(t, 2*time.Second, time.Since(start))
		<-done
		require.Equal(t, 2*time.Second, time.Since(start), "the requester has an error reply")
	})
}

// Grace counts from the end of ctx, also when the responder is disconnected.
func TestStopCutOff(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ended := make(chan time.Time, 1)
		end := respond(t, s.Connect("responder"), requestreply.Config{Grace: 2 * time.Second},
			requestreply.Handle("prices.quote", func(ctx context.Context, _ quote) (price, error) {
				<-ctx.Done()
				ended <- time.Now()
				return price{}, ctx.Err()
			}))
		nc := s.Connect("requester")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		requested := make(chan struct{})
		go func() { defer close(requested); _, _ = request(ctx, nc, "x") }()
		time.Sleep(time.Second)
		s.Link("responder").Down()
		time.Sleep(time.Second)
		start := time.Now()
		end()
		require.Equal(t, 2*time.Second, (<-ended).Sub(start))
		cancel()
		<-requested
	})
}

// Run does not wait longer than 2 Grace for a handler that ignores its ctx.
func TestStopIgnored(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		r, err := requestreply.NewResponder(t.Context(), s.Connect("responder"), "prices", requestreply.Config{Grace: 2 * time.Second},
			requestreply.Handle("prices.quote", func(context.Context, quote) (price, error) { time.Sleep(time.Minute); return price{}, nil }))
		require.NoError(t, err)
		nc, done := s.Connect("requester"), make(chan struct{})
		go func() { defer close(done); _, _ = request(t.Context(), nc, "x") }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		require.ErrorContains(t, r.Run(ctx), "a handler still runs")
		require.Equal(t, 4*time.Second, time.Since(start))
		<-done
		time.Sleep(time.Minute)
	})
}
