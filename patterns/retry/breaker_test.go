package retry_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/retry"
)

// The states of a breaker; lint:bubble, in which it sleeps.
func TestBreakerStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.Breaker{Failures: 3, Delay: retry.Policy{Initial: time.Second, Max: 3 * time.Second}}
		call := func(err error) {
			t.Helper()
			done := b.Allow()
			require.NotNil(t, done)
			done(err)
		}
		is := func(want retry.State, left time.Duration) {
			t.Helper()
			state, have := b.State()
			require.Equal(t, want, state)
			require.Equal(t, left, have)
		}
		is(retry.Closed, 0)
		n, _ := b.Ready()
		require.Equal(t, math.MaxInt, n)
		call(errDown)
		call(errDown)
		call(nil) // a success in between
		call(errDown)
		before := b.Allow()
		call(errDown)
		call(context.Canceled) // is not counted
		is(retry.Closed, 0)
		call(errDown)
		is(retry.Open, time.Second)
		require.Nil(t, b.Allow())
		n, wait := b.Ready()
		require.Zero(t, n)
		require.Equal(t, time.Second, wait)
		before(nil) // a call that started before the breaker opened does not count
		is(retry.Open, time.Second)
		for _, delay := range []time.Duration{2 * time.Second, 3 * time.Second, 3 * time.Second} {
			_, left := b.State()
			time.Sleep(left)
			is(retry.HalfOpen, 0)
			n, _ = b.Ready()
			require.Equal(t, 1, n)
			probe := b.Allow()
			require.NotNil(t, probe)
			require.Nil(t, b.Allow(), "one probe at a time")
			n, wait = b.Ready()
			require.Zero(t, n)
			require.Positive(t, wait)
			before(nil)
			is(retry.HalfOpen, 0)
			probe(errDown) // opens it again
			is(retry.Open, delay)
		}
		time.Sleep(3 * time.Second)
		call(context.Canceled) // the next call is a probe as well
		is(retry.HalfOpen, 0)
		call(nil)
		is(retry.Closed, 0)
		call(errDown) // it counts from 0
		call(errDown)
		is(retry.Closed, 0)
		call(errDown)
		is(retry.Open, time.Second)
	})
}

// Of a hundred concurrent callers one makes the probe.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := retry.Breaker{Failures: 1}
		done := b.Allow()
		done(errDown)
		_, left := b.State()
		<-time.After(left)
		allowed := make(chan func(error), 100)
		for range 100 {
			go func() {
				done := b.Allow()
				allowed <- done
			}()
		}
		probes := 0
		for range 100 {
			if done := <-allowed; done != nil {
				probes++
			}
		}
		require.Equal(t, 1, probes)
	})
}
