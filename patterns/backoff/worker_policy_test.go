package backoff_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

// The dependency is down for ten minutes, and twenty messages are sent. With a breaker the
// worker stops fetching, and no message fails; without one, all fail.
func TestBreaker(t *testing.T) {
	for _, tc := range []struct {
		name         string
		breaker      *retry.Breaker
		calls        int // in the outage
		done, failed int
	}{
		{"with a breaker no message fails", &retry.Breaker{Failures: 5, Delay: retry.Policy{Initial: 5 * time.Second, Max: time.Minute}}, 17, 20, 0},
		{"without a breaker all attempts are used up", never(), 100, 0, 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("worker")
				cfg := backoff.Config{MaxDeliver: 5, Concurrency: 1, Policy: policy(retry.Config{
					Policy: retry.Policy{Initial: 10 * time.Second, Max: time.Minute}, Breaker: tc.breaker, Budget: plenty()})}
				send(t, js, cfg, numbered(1, 20)...)
				b := newBank(100*time.Millisecond, until(10*time.Minute))
				start(t, js, cfg, b.book)
				time.Sleep(10*time.Minute + time.Second)
				calls := len(b.all())
				time.Sleep(5 * time.Minute)
				require.Equal(t, tc.calls, calls)
				done := 0
				for _, c := range b.all() {
					if c.ok {
						done++
					}
				}
				require.Equal(t, tc.done, done)
				_, left := stream(t, js)
				require.Equal(t, tc.failed, left)
			})
		})
	}
}

// A dependency accepts ten calls a second and refuses the rest. Sixty messages are sent
// at once. With a budget it refuses far fewer calls until all messages are done.
func TestBudget(t *testing.T) {
	small := func() *retry.Budget { return &retry.Budget{Ratio: 0.1, Burst: 10, Every: 200 * time.Millisecond} }
	run := func(t *testing.T, budget *retry.Budget) (calls, refused, unpaid int) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("worker")
			cfg := backoff.Config{MaxDeliver: 1000, Concurrency: 4, Policy: policy(retry.Config{
				Policy: retry.Policy{Initial: 200 * time.Millisecond, Max: 400 * time.Millisecond, Jitter: 0.5}, Breaker: never(), Budget: budget})}
			send(t, js, cfg, numbered(1, 60)...)
			served := map[time.Duration]int{}
			b := newBank(0, nil)
			b.takes = 10 * time.Millisecond
			b.down = func(_ string, at time.Duration) bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				served[at.Truncate(time.Second)]++
				return served[at.Truncate(time.Second)] > 10
			}
			start(t, js, cfg, b.book)
			time.Sleep(time.Minute)
			_, left := stream(t, js)
			require.Zero(t, left, "all are done in the end")
			for _, c := range b.all() {
				if calls++; !c.ok {
					refused++
				}
			}
			require.Equal(t, 60, calls-refused)
			unpaid = unbudgeted(b.all(), small())
		})
		return calls, refused, unpaid
	}
	calls, refused, unpaid := run(t, small())
	storm, wasted, over := run(t, plenty())
	t.Logf("with a budget %d calls, %d of them refused; without, %d and %d, %d of them without a token", calls, refused, storm, wasted, over)
	require.Zero(t, unpaid)
	require.Positive(t, over)
	require.Greater(t, wasted, 3*refused)
}

// A handler whose error wraps context.Canceled, though its worker goes on, has failed.
func TestCanceled(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		breaker := &retry.Breaker{Failures: 1}
		cfg := backoff.Config{Policy: policy(retry.Config{Breaker: breaker})}
		start(t, js, cfg, func(context.Context, backoff.Message) error { return fmt.Errorf("the pool: %w", context.Canceled) })
		send(t, js, cfg, "pay-1")
		time.Sleep(100 * time.Millisecond)
		state, _ := breaker.State()
		require.Equal(t, retry.Open, state)
	})
}

// The context of an attempt ends after Timeout. An attempt that hangs is a failure, and
// opens the breaker.
func TestTimeout(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Timeout: time.Second, Concurrency: 1, Policy: policy(retry.Config{
			Breaker: &retry.Breaker{Failures: 2, Delay: retry.Policy{Initial: time.Hour, Max: time.Hour}}})}
		var calls atomic.Int64
		start(t, js, cfg, func(ctx context.Context, _ backoff.Message) error { calls.Add(1); <-ctx.Done(); return ctx.Err() })
		send(t, js, cfg, numbered(1, 10)...)
		time.Sleep(30 * time.Minute)
		require.EqualValues(t, 2, calls.Load())
	})
}

// The dependency of one worker fails, and that of the other works. The breaker stops only
// the first worker: the second one handles every message, and waits for nothing.
func TestBreakerIsLocal(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		config := func() backoff.Config { // each worker has a policy of its own
			return backoff.Config{Concurrency: 2, Policy: policy(retry.Config{
				Breaker: &retry.Breaker{Failures: 3, Delay: retry.Policy{Initial: time.Minute, Max: time.Hour}}})}
		}
		broken, healthy := newBank(10*time.Millisecond, until(time.Hour)), newBank(10*time.Millisecond, nil)
		start(t, s.JetStream("broken"), config(), broken.book)
		shop := s.JetStream("shop")
		sender, err := backoff.NewSender(t.Context(), shop, "bank", config())
		require.NoError(t, err)
		sending := func(from, to int) {
			for _, id := range numbered(from, to) {
				require.NoError(t, sender.Send(t.Context(), id, &nats.Msg{Data: []byte("of " + id)}))
				time.Sleep(100 * time.Millisecond)
			}
		}
		sending(1, 20)
		require.Less(t, len(broken.all()), 5, "the breaker is open")
		start(t, s.JetStream("healthy"), config(), healthy.book)
		time.Sleep(time.Second)
		sent := time.Since(healthy.start)
		sending(21, 70)
		time.Sleep(10 * time.Second)
		cons, err := shop.Consumer(t.Context(), "BACKOFF_bank", "workers")
		require.NoError(t, err)
		require.False(t, cons.CachedInfo().Paused)
		require.Less(t, len(broken.all()), 5)
		require.Len(t, healthy.all(), 70, "every message, once")
		late := 0
		for _, c := range healthy.all() {
			n, err := strconv.Atoi(strings.TrimPrefix(c.id, "pay-"))
			require.NoError(t, err)
			if n > 20 && c.at-sent > time.Duration(n-21)*100*time.Millisecond+20*time.Millisecond {
				late++
			}
		}
		require.Zero(t, late, "handled at once")
		_, left := stream(t, shop)
		require.Zero(t, left)
	})
}

// A redelivered message is looked up before its attempt. Timeout includes that, so that the
// attempt and what follows it end before AckWait.
func TestTimeoutIncludesLookup(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cfg, left := backoff.Config{Timeout: 4 * time.Second, Policy: policy(retry.Config{Policy: steady})}, make(chan time.Duration, 9)
		start(t, s.JetStream("worker"), cfg, func(ctx context.Context, msg backoff.Message) error {
			deadline, _ := ctx.Deadline()
			left <- time.Until(deadline)
			if msg.Delivery == 1 {
				time.AfterFunc(500*time.Millisecond, func() { s.Link("worker").Delay(time.Second) })
				return errDown
			}
			return nil
		})
		send(t, s.JetStream("shop"), cfg, "pay-1")
		time.Sleep(20 * time.Second)
		require.Equal(t, 4*time.Second, <-left)
		require.Equal(t, 3*time.Second, <-left)
	})
}
