package backoff_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

// The dependency is down for ten minutes, and twenty messages come. With a breaker the
// consumer is paused, for every worker, nobody sees the messages, and none is given up;
// without one, all are.
func TestBreaker(t *testing.T) {
	for _, tc := range []struct {
		name          string
		breaker       backoff.Breaker
		calls         int // in the outage
		done, givenUp int
	}{
		{"with a breaker nothing is given up", backoff.Breaker{Failures: 5, Wait: backoff.Policy{First: 5 * time.Second, Ceiling: time.Minute}}, 17, 20, 0},
		{"without one it burns the tries of all", open, 100, 0, 20},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("worker")
				cfg := backoff.Config{Policy: backoff.Policy{First: 10 * time.Second, Ceiling: time.Minute}, Tries: 5, Breaker: tc.breaker, Budget: plenty, Hands: 1}
				send(t, js, cfg, numbered(1, 20)...)
				b := newBank(100*time.Millisecond, until(10*time.Minute))
				start(t, js, cfg, b.book)
				time.Sleep(time.Second)
				cons, err := js.Consumer(t.Context(), "BACKOFF_bank", "workers")
				require.NoError(t, err)
				require.Equal(t, tc.breaker.Failures == 5, cons.CachedInfo().Paused)
				time.Sleep(10 * time.Minute)
				calls := len(b.all())
				time.Sleep(5 * time.Minute)
				require.Equal(t, tc.calls, calls)
				done := 0
				for _, c := range b.all() {
					if c.fine {
						done++
					}
				}
				require.Equal(t, tc.done, done)
				_, left := stream(t, js)
				require.Equal(t, tc.givenUp, left)
			})
		})
	}
}

// A dependency that can take ten calls a second, and fails the rest, is sent
// sixty messages at once. Retries that are held to a budget let it recover; those
// that are not cost it far more calls that it cannot take.
func TestBudget(t *testing.T) {
	run := func(t *testing.T, budget backoff.Budget) (calls, refused, unpaid int) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("worker")
			cfg := backoff.Config{Policy: backoff.Policy{First: 200 * time.Millisecond, Ceiling: 400 * time.Millisecond, Jitter: 0.5},
				Tries: 1000, Breaker: open, Budget: budget, Hands: 4}
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
				if calls++; !c.fine {
					refused++
				}
			}
			require.Equal(t, 60, calls-refused)
			unpaid = unbudgeted(b.all(), backoff.Budget{Ratio: 0.1, Burst: 10, Every: 200 * time.Millisecond})
		})
		return calls, refused, unpaid
	}
	calls, refused, unpaid := run(t, backoff.Budget{Ratio: 0.1, Burst: 10, Every: 200 * time.Millisecond})
	storm, wasted, over := run(t, plenty)
	t.Logf("with a budget %d calls, %d of them refused; without, %d and %d, of which %d unpaid", calls, refused, storm, wasted, over)
	require.Zero(t, unpaid)
	require.Positive(t, over)
	require.Greater(t, wasted, 3*refused)
}

// Long waits are kept by the stream: ten messages that wait for ten minutes hold no
// slot of MaxAckPending, and the eleventh is done at once. A nak with a delay holds
// them, and the eleventh waits for ten minutes.
func TestLong(t *testing.T) {
	for _, tc := range []struct {
		name string
		long time.Duration
		at   time.Duration
		held int
	}{
		{"kept by the stream they hold nobody up", time.Minute, time.Minute, 0},
		{"a delayed nak holds a slot for all of its wait", time.Hour, 10 * time.Minute, 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("worker")
				cfg := backoff.Config{Policy: backoff.Policy{First: 10 * time.Minute, Ceiling: time.Hour}, Long: tc.long, MaxAckPending: 10, Breaker: open}
				b := newBank(0, until(time.Second))
				start(t, js, cfg, b.book)
				send(t, js, cfg, numbered(1, 10)...)
				time.Sleep(time.Minute)
				cons, err := js.Consumer(t.Context(), "BACKOFF_bank", "workers")
				require.NoError(t, err)
				require.Equal(t, tc.held, cons.CachedInfo().NumAckPending)
				send(t, js, cfg, "pay-11")
				time.Sleep(10 * time.Minute)
				var at time.Duration
				for _, c := range b.all() {
					if c.id == "pay-11" {
						at = c.at
					}
				}
				require.Equal(t, tc.at, at.Truncate(time.Minute))
				require.Len(t, b.all(), 21, "all are done")
			})
		})
	}
}
