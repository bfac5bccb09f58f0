package requestreply_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// What has begun is answered; what comes while the service stops is refused or
// finds nobody, at once.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		end := respond(t, s.Connect("responder"), requestreply.Config{Limit: 3}, requestreply.Handle("prices.quote", prices))
		nc := s.Connect("asker")
		answers := make(chan error, 9)
		for i := range 9 {
			go func() { _, err := callAPI(t.Context(), nc, fmt.Sprintf("slow-%d", i)); answers <- err }()
		}
		time.Sleep(500 * time.Millisecond)
		start := time.Now()
		end()
		require.GreaterOrEqual(t, time.Since(start), 500*time.Millisecond)
		answered := 0
		for range 9 {
			var refused *requestreply.Error
			if err := <-answers; err == nil {
				answered++
			} else {
				require.ErrorAs(t, err, &refused)
				require.Equal(t, "503", refused.Code)
			}
		}
		require.GreaterOrEqual(t, answered, 3, "those that had begun")
		_, err := callAPI(t.Context(), nc, "apple")
		require.ErrorIs(t, err, requestreply.ErrNobody)
	})
}

// After Grace, a handler that goes on is told to stop.
func TestStopGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		end := respond(t, s.Connect("responder"), requestreply.Config{Grace: 2 * time.Second},
			requestreply.Handle("prices.quote", func(ctx context.Context, _ quote) (price, error) {
				<-ctx.Done()
				return price{}, ctx.Err()
			}))
		nc, done := s.Connect("asker"), make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { defer close(done); _, _ = callAPI(ctx, nc, "x") }()
		time.Sleep(time.Second)
		start := time.Now()
		end()
		require.Equal(t, 2*time.Second, time.Since(start))
		<-done
	})
}

// Grace counts from the end of ctx, though the server cannot be reached.
func TestStopCutOff(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		told := make(chan time.Time, 1)
		end := respond(t, s.Connect("responder"), requestreply.Config{Grace: 2 * time.Second},
			requestreply.Handle("prices.quote", func(ctx context.Context, _ quote) (price, error) {
				<-ctx.Done()
				told <- time.Now()
				return price{}, ctx.Err()
			}))
		nc := s.Connect("asker")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		asked := make(chan struct{})
		go func() { defer close(asked); _, _ = callAPI(ctx, nc, "x") }()
		time.Sleep(time.Second)
		s.Link("responder").Down()
		time.Sleep(time.Second)
		start := time.Now()
		end()
		require.Equal(t, 2*time.Second, (<-told).Sub(start))
		cancel()
		<-asked
	})
}

// A stream that captures the subject answers first, and its answer is no price.
func TestCaptured(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		_, err := s.JetStream("admin").CreateStream(t.Context(), jetstream.StreamConfig{Name: "PRICES", Subjects: []string{"prices.>"}})
		require.NoError(t, err)
		defer respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", func(_ context.Context, q quote) (price, error) {
			time.Sleep(100 * time.Millisecond) // so that the stream is sure to be first
			return prices(t.Context(), q)
		}))()
		_, err = callAPI(t.Context(), s.Connect("asker"), "apple")
		require.ErrorIs(t, err, requestreply.ErrCaptured)
		require.ErrorContains(t, err, "PRICES")
		time.Sleep(time.Second)
	})
}

// A stream that will not store the request answers all the same.
func TestCapturedAndRefused(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		_, err := s.JetStream("admin").CreateStream(t.Context(), jetstream.StreamConfig{Name: "PRICES", Subjects: []string{"prices.>"}, MaxMsgSize: 1})
		require.NoError(t, err)
		_, err = callAPI(t.Context(), s.Connect("asker"), "apple")
		require.ErrorIs(t, err, requestreply.ErrCaptured)
		time.Sleep(time.Second)
	})
}

// Asker and handler run out of time at the same instant: the asker learns that it
// was too late, never that something failed.
func TestTooLate(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		defer respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", prices))()
		nc := s.Connect("asker")
		for range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			_, err := callAPI(ctx, nc, "slow-1")
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	})
}
