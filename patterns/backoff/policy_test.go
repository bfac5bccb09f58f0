package backoff_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/backoff"
)

func TestPolicy(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name        string
		p           backoff.Policy
		try         int
		least, most time.Duration
	}{
		{"the first wait is First", backoff.Policy{First: s, Ceiling: 10 * s}, 1, s, s},
		{"each is twice the one before", backoff.Policy{First: s, Ceiling: 10 * s}, 4, 8 * s, 8 * s},
		{"until the ceiling", backoff.Policy{First: s, Ceiling: 10 * s}, 5, 10 * s, 10 * s},
		{"which may be First", backoff.Policy{First: s, Ceiling: s}, 2, s, s},
		{"half of it left to chance", backoff.Policy{First: s, Ceiling: 10 * s, Jitter: 0.5}, 2, s, 2 * s},
		{"or all of it", backoff.Policy{First: s, Ceiling: 10 * s, Jitter: 1}, 9, 0, 10 * s},
		{"nothing overflows", backoff.Policy{First: s, Ceiling: math.MaxInt64}, math.MaxInt, math.MaxInt64, math.MaxInt64},
		{"a try 0 is the first", backoff.Policy{First: s, Ceiling: 10 * s}, 0, s, s},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.least, tc.p.Least(tc.try))
			require.Equal(t, tc.most, tc.p.Most(tc.try))
			low, high := tc.most, tc.least
			for range 1000 {
				d := tc.p.Delay(tc.try)
				low, high = min(low, d), max(high, d)
			}
			require.GreaterOrEqual(t, low, tc.least)
			require.LessOrEqual(t, high, tc.most)
			require.LessOrEqual(t, low-tc.least, (tc.most-tc.least)/20, "chance reaches all of it")
			require.LessOrEqual(t, tc.most-high, (tc.most-tc.least)/20)
		})
	}
}

// What a thousand messages that failed together do when they come back: without
// jitter they all come in one tenth of a second; with it, a twentieth of them.
func TestJitter(t *testing.T) {
	crowd := func(p backoff.Policy) (most int) {
		in := map[time.Duration]int{}
		for range 1000 {
			d := p.Delay(3).Truncate(100 * time.Millisecond)
			in[d]++
			most = max(most, in[d])
		}
		return most
	}
	require.Equal(t, 1000, crowd(backoff.Policy{First: time.Second, Ceiling: time.Hour}))
	require.Less(t, crowd(backoff.Policy{First: time.Second, Ceiling: time.Hour, Jitter: 0.5}), 90)
}

func TestBudgetOfTokens(t *testing.T) {
	now := time.Now()
	spend := func(b *backoff.Budget) (n int) {
		for b.Spend(now) {
			n++
		}
		return n
	}
	b := backoff.Budget{Ratio: 0.25, Burst: 4, Every: time.Minute}
	require.Equal(t, 4, spend(&b), "it begins with Burst")
	for range 8 {
		b.Earn(now)
	}
	require.Equal(t, 2, spend(&b), "a quarter of what succeeded")
	for range 800 {
		b.Earn(now)
	}
	require.Equal(t, 4, spend(&b), "never more than Burst")
	now = now.Add(2*time.Minute + time.Second)
	require.Equal(t, 2, spend(&b), "one each minute, though nothing succeeds")
	now = now.Add(-time.Hour)
	require.Zero(t, spend(&b), "a clock that goes back gives nothing")
}

func TestBreakerStates(t *testing.T) {
	now := time.Now()
	b := backoff.Breaker{Failures: 3, Wait: backoff.Policy{First: time.Second, Ceiling: 3 * time.Second}}
	call := func(ok bool) (opened bool) {
		turn, let := b.Enter(now)
		require.True(t, let)
		return b.Leave(turn, now, ok)
	}
	is := func(want backoff.State, left time.Duration) {
		t.Helper()
		state, have := b.State(now)
		require.Equal(t, want, state)
		require.Equal(t, left, have)
	}
	is(backoff.Closed, 0)
	require.False(t, call(false))
	require.False(t, call(false))
	require.False(t, call(true), "a success in between")
	require.False(t, call(false))
	old, _ := b.Enter(now)
	require.False(t, call(false))
	require.True(t, call(false), "three in a row")
	is(backoff.Open, time.Second)
	_, let := b.Enter(now)
	require.False(t, let)
	require.False(t, b.Leave(old, now, true), "a call from before says nothing")
	is(backoff.Open, time.Second)
	for _, wait := range []time.Duration{2 * time.Second, 3 * time.Second, 3 * time.Second} {
		_, left := b.State(now)
		now = now.Add(left)
		is(backoff.HalfOpen, 0)
		probe, let := b.Enter(now)
		require.True(t, let)
		_, let = b.Enter(now)
		require.False(t, let, "only one goes to see")
		require.False(t, b.Leave(old, now, true))
		require.True(t, b.Leave(probe, now, false), "and opens it again")
		is(backoff.Open, wait)
	}
	now = now.Add(3 * time.Second)
	require.False(t, call(true))
	is(backoff.Closed, 0)
	require.False(t, call(false), "it counts from the start")
	require.False(t, call(false))
	require.True(t, call(false))
	is(backoff.Open, time.Second)
}
