package ratio_test

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/ratio"
)

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, ratio.Median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, ratio.Median([]float64{4, 1, 2, 3}))
	require.EqualValues(t, 7, ratio.Median([]int64{7}))
}

// Each case is measured for real; the durations are given.
func TestCompare(t *testing.T) {
	lasts := func(d time.Duration) func(*testing.B) time.Duration {
		return func(*testing.B) time.Duration { return d }
	}
	for name, test := range map[string]struct {
		bar         ratio.Bar
		plain, ours time.Duration
		want        string
	}{
		"throughput above the bar":             {ratio.Bar{AtLeast: 0.9}, time.Second, time.Second, "1.00   >= 0.90            ok"},
		"throughput below the bar":             {ratio.Bar{AtLeast: 0.9}, time.Second, 2 * time.Second, "0.50   >= 0.90            SHORT"},
		"latency below the bar":                {ratio.Bar{AtMost: 1.5, Pairs: 1}, time.Second, time.Second, "1.00   <= 1.50            ok"},
		"latency above the bar":                {ratio.Bar{AtMost: 1.5}, time.Second, 2 * time.Second, "2.00   <= 1.50            SHORT"},
		"latency above the bar by very little": {ratio.Bar{AtMost: 1.5, Or: time.Millisecond}, time.Microsecond, 2 * time.Microsecond, "2.00   <= 1.50 or +1ms    ok"},
	} {
		t.Run(name, func(t *testing.T) {
			test.bar.Pattern, test.bar.Metric = "queueing", "jobs"
			out := output(t, func() {
				testing.Benchmark(func(b *testing.B) { test.bar.Compare(b, lasts(test.plain), lasts(test.ours)) })
			})
			require.Contains(t, out, "RATIO queueing       jobs ")
			require.Contains(t, out, test.want)
		})
	}
}

// Both take turns in being first, and the first pair does not count.
func TestCompareInTurns(t *testing.T) {
	var order string
	call := func(name string) func(*testing.B) time.Duration {
		return func(*testing.B) time.Duration { order += name; return time.Second }
	}
	output(t, func() {
		testing.Benchmark(func(b *testing.B) { ratio.Bar{AtLeast: 1, Pairs: 3}.Compare(b, call("p"), call("o")) })
	})
	require.Equal(t, "pooppoop", order)
}

func output(t *testing.T, f func()) string {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = stdout }()
	f()
	require.NoError(t, w.Close())
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(out)
}
