package backoff_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

// A message is retried with exponential backoff, by a nak while the delay is short and by a
// schedule when it is long, until it is done or has failed.
func TestRetry(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Policy: policy(retry.Config{Policy: steady, Breaker: never()}), MaxDeliver: 6}
		b := newBank(0, func(id string, at time.Duration) bool { return id == "pay-1" || at < 2*time.Second })
		start(t, js, cfg, b.book)
		send(t, js, cfg, "pay-1")
		time.Sleep(500 * time.Millisecond)
		send(t, js, cfg, "pay-2")
		time.Sleep(time.Minute)
		require.Equal(t, []string{
			"0s pay-1 attempt 1", "500ms pay-2 attempt 1", "1s pay-1 attempt 2", "1.5s pay-2 attempt 2", "3s pay-1 attempt 3", "3.5s pay-2 attempt 3",
			"7s pay-1 attempt 4", "15s pay-1 attempt 5", "31s pay-1 attempt 6",
		}, b.lines())
		attempts, reason := failed(t, js, "pay-1")
		require.Equal(t, 6, attempts)
		require.Equal(t, errDown.Error(), reason)
		_, left := stream(t, js)
		require.Equal(t, 1, left, "only the failed message")
	})
}

// A poison message fails at once. It does not open the breaker.
func TestPoison(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		var calls atomic.Int64
		cfg := backoff.Config{Concurrency: 1, Policy: policy(retry.Config{})}
		start(t, js, cfg, func(context.Context, backoff.Message) error {
			calls.Add(1)
			return fmt.Errorf("%w: no such account\r\nX: y", backoff.ErrPoison)
		})
		send(t, js, cfg, numbered(1, 20)...)
		time.Sleep(time.Minute)
		require.EqualValues(t, 20, calls.Load())
		attempts, reason := failed(t, js, "pay-20")
		require.Equal(t, 1, attempts)
		require.Equal(t, "backoff: poison message: no such account X: y", reason)
	})
}

// A handler that panics fails this attempt, and not the worker.
func TestPanic(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		b := newBank(0, nil)
		start(t, js, backoff.Config{MaxDeliver: 2}, func(ctx context.Context, msg backoff.Message) error {
			if msg.ID == "pay-1" || msg.Delivery == 1 {
				panic("no such field")
			}
			return b.book(ctx, msg)
		})
		send(t, js, backoff.Config{}, "pay-1", "pay-2")
		time.Sleep(time.Minute)
		attempts, reason := failed(t, js, "pay-1")
		require.Equal(t, 2, attempts)
		require.Equal(t, "panic: no such field", reason)
		require.Len(t, b.all(), 1)
		require.Equal(t, "pay-2", b.all()[0].id)
	})
}

// Without a Policy the delays grow from Backoff up to an hour, and half of each is random.
func TestBackoff(t *testing.T) {
	for _, first := range []time.Duration{time.Second, 20 * time.Minute} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("worker")
			cfg := backoff.Config{MaxDeliver: 5, Backoff: first}
			if first == time.Second {
				cfg.Backoff = 0
			}
			b := newBank(0, func(string, time.Duration) bool { return true })
			start(t, js, cfg, b.book)
			send(t, js, cfg, numbered(1, 20)...)
			time.Sleep(16 * first)
			last, random := map[string]time.Duration{}, map[time.Duration]bool{}
			for _, c := range b.all() {
				if c.attempt > 1 {
					most := min(first<<(c.attempt-2), time.Hour)
					delay := c.at - last[c.id]
					require.GreaterOrEqual(t, delay, most/2)
					require.LessOrEqual(t, delay, most+time.Second) // the server makes a schedule up to a second late
					random[delay] = true
				}
				last[c.id] = c.at
			}
			require.Len(t, b.all(), 20*5)
			require.Greater(t, len(random), 50)
		})
	}
}
