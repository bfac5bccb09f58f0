package retry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/retry"
)

func TestMain(m *testing.M) { natstest.Main(m) }

var (
	errDown   = errors.New("503 try again later")
	errNumber = fmt.Errorf("%w: no such account", retry.ErrPermanent)
	steady    = retry.Policy{Initial: time.Second, Max: time.Hour} // without a random part
)

func newRetrier(t *testing.T, cfg retry.Config) *retry.Retrier {
	t.Helper()
	r, err := retry.NewRetrier(cfg)
	require.NoError(t, err)
	return r
}

func TestDo(t *testing.T) {
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, tc := range []struct {
		name   string
		cfg    retry.Config
		within time.Duration // of the context; a day if 0
		call   func(ctx context.Context, attempt int) error
		calls  int
		took   time.Duration
		want   []error
		text   string
	}{
		{"a success is not retried", retry.Config{}, 0,
			func(context.Context, int) error { return nil }, 1, 0, nil, ""},
		{"a failure is retried until it succeeds", retry.Config{}, 0,
			func(_ context.Context, n int) error {
				if n < 4 {
					return errDown
				}
				return nil
			}, 4, 7 * time.Second, nil, ""},
		{"the last error is returned after MaxAttempts", retry.Config{MaxAttempts: 3}, 0,
			func(context.Context, int) error { return errDown }, 3, 3 * time.Second, []error{errDown}, "retry: attempt 3 failed: "},
		{"a permanent error is not retried", retry.Config{}, 0,
			func(context.Context, int) error { return errNumber }, 1, 0, []error{retry.ErrPermanent}, "no such account"},
		{"an attempt ends after Timeout", retry.Config{MaxAttempts: 2, Timeout: time.Minute}, 0,
			func(ctx context.Context, _ int) error { return hangs(ctx) }, 2, 2*time.Minute + time.Second, []error{context.DeadlineExceeded}, "attempt 2"},
		{"the context ends during a delay", retry.Config{}, 2 * time.Second,
			func(context.Context, int) error { return errDown }, 2, 2 * time.Second, []error{context.DeadlineExceeded, errDown}, "attempt 2"},
		{"the context ends during an attempt", retry.Config{}, 2 * time.Second,
			func(ctx context.Context, _ int) error { return hangs(ctx) }, 1, 2 * time.Second, []error{context.DeadlineExceeded}, ""},
		{"the context has ended before", retry.Config{}, -1,
			func(context.Context, int) error { return nil }, 0, 0, []error{context.DeadlineExceeded}, ""},
		{"the budget is spent", retry.Config{Budget: &retry.Budget{Burst: 1, Every: time.Hour}}, 0, // it does not wait for another attempt
			func(context.Context, int) error { return errDown }, 2, time.Second, []error{retry.ErrBudget, errDown}, "attempt 2"},
		{"the breaker opens", retry.Config{Breaker: &retry.Breaker{Failures: 2, Delay: retry.Policy{Initial: time.Hour, Max: time.Hour}}}, 0,
			func(context.Context, int) error { return errDown }, 2, time.Second, []error{retry.ErrOpen, errDown}, "attempt 2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.cfg.Policy = steady
				if tc.within == 0 {
					tc.within = 24 * time.Hour
				}
				ctx, cancel := context.WithTimeout(t.Context(), tc.within)
				defer cancel()
				calls, start := 0, time.Now()
				err := newRetrier(t, tc.cfg).Do(ctx, func(ctx context.Context) error {
					calls++
					return tc.call(ctx, calls)
				})
				require.Equal(t, tc.calls, calls)
				require.Equal(t, tc.took, time.Since(start))
				for _, want := range tc.want {
					require.ErrorIs(t, err, want)
				}
				if tc.want == nil {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, tc.text)
				}
			})
		})
	}
}

// What a call says about the dependency.
func TestDoOutcome(t *testing.T) {
	for _, tc := range []struct {
		name  string
		call  func(cancel func()) error
		state retry.State
	}{
		{"an error opens the breaker", func(func()) error { return errDown }, retry.Open},
		{"a permanent error does not", func(func()) error { return errNumber }, retry.Closed},
		{"a call that its caller canceled does not", func(cancel func()) error { cancel(); return errDown }, retry.Closed},
		{"a call that was canceled by another one opens it", func(func()) error { return fmt.Errorf("the pool: %w", context.Canceled) }, retry.Open},
		{"a panic opens it", func(func()) error { panic("boom") }, retry.Open},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &retry.Breaker{Failures: 1}
			r := newRetrier(t, retry.Config{MaxAttempts: 1, Breaker: b})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			func() {
				defer func() { _ = recover() }()
				require.Error(t, r.Do(ctx, func(context.Context) error { return tc.call(cancel) }))
			}()
			state, _ := b.State()
			require.Equal(t, tc.state, state)
		})
	}
}

// Start permits the attempts of a caller with its own loop.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &retry.Breaker{Failures: 2, Delay: steady}
		r := newRetrier(t, retry.Config{Policy: steady, Breaker: b, Budget: &retry.Budget{Ratio: 0.5, Burst: 1, Every: time.Hour}})
		start := func(attempt int) func(error) {
			t.Helper()
			done, wait := r.Start(attempt)
			require.NotNil(t, done)
			require.Zero(t, wait)
			return done
		}
		start(2)(errDown) // spends the token
		done, wait := r.Start(3)
		require.Nil(t, done, "no token")
		require.Equal(t, 2*time.Second, wait, "the delay after attempt 2")
		start(1)(nil)
		start(1)(nil) // a first attempt needs no token; two successes earn one
		start(2)(errDown)
		start(1)(errDown)
		done, wait = r.Start(1)
		require.Nil(t, done, "the breaker is open")
		require.Zero(t, wait)
		n, wait := r.Ready()
		require.Zero(t, n)
		require.Equal(t, time.Second, wait)
		<-time.After(wait)
		done, _ = r.Start(2)
		require.Nil(t, done, "a retry needs a token even as the probe")
		start(1)(nil) // and leaves the probe to the next one
		state, _ := b.State()
		require.Equal(t, retry.Closed, state)
	})
}
