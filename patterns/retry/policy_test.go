package retry_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/retry"
)

func TestPolicy(t *testing.T) {
	const s = time.Second
	for _, tc := range []struct {
		name        string
		p           retry.Policy
		attempt     int
		least, most time.Duration
	}{
		{"the first delay is Initial", retry.Policy{Initial: s, Max: 10 * s}, 1, s, s},
		{"each delay is twice the one before", retry.Policy{Initial: s, Max: 10 * s}, 4, 8 * s, 8 * s},
		{"no delay is above Max", retry.Policy{Initial: s, Max: 10 * s}, 5, 10 * s, 10 * s},
		{"Max can equal Initial", retry.Policy{Initial: s, Max: s}, 2, s, s},
		{"half of it is random", retry.Policy{Initial: s, Max: 10 * s, Jitter: 0.5}, 2, s, 2 * s},
		{"all of it is random", retry.Policy{Initial: s, Max: 10 * s, Jitter: 1}, 9, 0, 10 * s},
		{"nothing overflows", retry.Policy{Initial: s, Max: math.MaxInt64}, math.MaxInt, math.MaxInt64, math.MaxInt64},
		{"attempt 0 is the first", retry.Policy{Initial: s, Max: 10 * s}, 0, s, s},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.least, tc.p.MinDelay(tc.attempt))
			require.Equal(t, tc.most, tc.p.MaxDelay(tc.attempt))
			low, high := tc.most, tc.least
			for range 1000 {
				d := tc.p.Delay(tc.attempt)
				low, high = min(low, d), max(high, d)
			}
			require.GreaterOrEqual(t, low, tc.least)
			require.LessOrEqual(t, high, tc.most)
			require.LessOrEqual(t, low-tc.least, (tc.most-tc.least)/20, "the delays use the whole range")
			require.LessOrEqual(t, tc.most-high, (tc.most-tc.least)/20)
		})
	}
}

// A thousand clients that failed together retry: without jitter all of them in the same
// tenth of a second; with it, less than 90 in any tenth.
func TestJitter(t *testing.T) {
	busiest := func(p retry.Policy) (most int) {
		in := map[time.Duration]int{}
		for range 1000 {
			d := p.Delay(3).Truncate(100 * time.Millisecond)
			in[d]++
			most = max(most, in[d])
		}
		return most
	}
	require.Equal(t, 1000, busiest(retry.Policy{Initial: time.Second, Max: time.Hour}))
	require.Less(t, busiest(retry.Policy{Initial: time.Second, Max: time.Hour, Jitter: 0.5}), 90)
}
