package retry_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/retry"
)

// outage returns how many calls a dependency receives that is down for a minute, from
// ten clients that each make one call a second. Each client retries with do.
func outage(t *testing.T, do func(ctx context.Context, call func(context.Context) error) error) (calls int64) {
	synctest.Test(t, func(t *testing.T) {
		var received atomic.Int64
		var clients sync.WaitGroup
		for range 10 {
			clients.Go(func() {
				for range 60 {
					next := time.After(time.Second)
					err := do(t.Context(), func(context.Context) error { received.Add(1); return errDown })
					if !errors.Is(err, errDown) && !errors.Is(err, retry.ErrOpen) {
						t.Errorf("unexpected error: %v", err)
					}
					<-next
				}
			})
		}
		clients.Wait()
		calls = received.Load()
	})
	return calls
}

// 600 calls of a dependency that is down. A loop of five attempts makes 3,000 calls, a
// budget leaves the 600 and at most 10 retries and one a second, and a breaker leaves
// the 5 calls that open it, those in progress, and the probes.
func TestOutage(t *testing.T) {
	loop := outage(t, func(ctx context.Context, call func(context.Context) error) (err error) {
		for range 5 {
			if err = call(ctx); err == nil {
				return nil
			}
		}
		return err
	})
	closed := &retry.Breaker{Failures: 1 << 30}
	quick := retry.Policy{Initial: time.Millisecond, Max: 50 * time.Millisecond}
	budget := outage(t, newRetrier(t, retry.Config{Policy: quick, Breaker: closed}).Do)
	breaker := outage(t, newRetrier(t, retry.Config{Policy: quick}).Do)
	t.Logf("a loop: %d calls; with a budget: %d; with a breaker: %d", loop, budget, breaker)
	require.EqualValues(t, 3000, loop)
	require.Greater(t, budget, int64(600+10))
	require.LessOrEqual(t, budget, int64(600+10+60))
	require.Positive(t, breaker)
	require.LessOrEqual(t, breaker, int64(5+10+10))
}
