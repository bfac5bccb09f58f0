package backoff_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

// Run finishes the attempts in progress when it stops. A message that arrives after that
// goes back to the queue, and has no attempt counted.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		first, next := s.JetStream("first"), s.JetStream("next")
		cfg := backoff.Config{Concurrency: 2}
		b := newBank(3*time.Second, nil)
		stop := start(t, first, cfg, b.book)
		send(t, next, cfg, "pay-1")
		time.Sleep(1700 * time.Millisecond) // a pull request is open until 2s
		stopped := make(chan time.Duration)
		go func() { stop(); stopped <- time.Since(b.start) }()
		time.Sleep(100 * time.Millisecond)
		send(t, next, cfg, "pay-2")
		require.Equal(t, 3*time.Second, (<-stopped).Round(100*time.Millisecond))
		require.Equal(t, []string{"0s pay-1 attempt 1"}, b.lines())
		start(t, next, cfg, b.book)
		time.Sleep(time.Minute)
		calls := b.all()
		require.Len(t, calls, 2)
		require.Equal(t, 1, calls[1].attempt)
	})
}

// Run returns an error if its consumer or stream is deleted.
func TestDeleted(t *testing.T) {
	for name, remove := range map[string]func(ctx context.Context, js jetstream.JetStream) error{
		"the consumer": func(ctx context.Context, js jetstream.JetStream) error {
			return js.DeleteConsumer(ctx, "BACKOFF_bank", "workers")
		},
		"the stream": func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, "BACKOFF_bank") },
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				w, err := backoff.NewWorker(t.Context(), s.JetStream("worker"), "bank", backoff.Config{})
				require.NoError(t, err)
				ended := make(chan error)
				go func() { ended <- w.Run(t.Context(), func(context.Context, backoff.Message) error { return nil }) }()
				time.Sleep(time.Second)
				require.NoError(t, remove(t.Context(), s.JetStream("admin")))
				require.ErrorContains(t, <-ended, "backoff: worker of bank: ")
			})
		})
	}
}

// After Grace the context of an attempt ends. The attempt has failed, and the message is
// retried by another worker. It says nothing about the dependency.
func TestGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		breaker := &retry.Breaker{Failures: 1}
		cfg := backoff.Config{Grace: 2 * time.Second, Policy: policy(retry.Config{Policy: steady, Breaker: breaker})}
		stop := start(t, s.JetStream("first"), cfg, func(ctx context.Context, _ backoff.Message) error { <-ctx.Done(); return ctx.Err() })
		js := s.JetStream("next")
		send(t, js, cfg, "pay-1")
		time.Sleep(time.Second)
		begin := time.Now()
		stop()
		require.Equal(t, 2*time.Second, time.Since(begin).Round(100*time.Millisecond))
		state, _ := breaker.State()
		require.Equal(t, retry.Closed, state)
		b := newBank(0, nil)
		start(t, js, cfg, b.book)
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1s pay-1 attempt 2"}, b.lines())
	})
}

// Run returns after Grace even if the server is down, and the message is not lost.
func TestStopWithoutServer(t *testing.T) {
	for name, after := range map[string]time.Duration{"it would nak": time.Hour, "it would schedule": time.Nanosecond} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				cfg := backoff.Config{Grace: 2 * time.Second, ScheduleAfter: after}
				stop := start(t, s.JetStream("first"), cfg, func(ctx context.Context, _ backoff.Message) error { <-ctx.Done(); return ctx.Err() })
				js := s.JetStream("next")
				send(t, js, cfg, "pay-1")
				time.Sleep(time.Second)
				s.Stop()
				begin := time.Now()
				stop()
				require.LessOrEqual(t, time.Since(begin), 3*time.Second)
				require.NoError(t, s.Start())
				b := newBank(0, nil)
				start(t, js, cfg, b.book)
				time.Sleep(time.Minute)
				require.Len(t, b.all(), 1)
				require.Equal(t, 2, b.all()[0].attempt)
			})
		})
	}
}
