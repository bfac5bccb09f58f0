// Package ratio compares the speed of a pattern with plain nats.go that does the same
// work. Both run in turns in one process, because on a shared machine only their ratio
// is repeatable.
package ratio

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"
)

// Bar is the limit for a pattern's cost. One of AtLeast and AtMost is set.
type Bar struct {
	Pattern, Metric string
	AtLeast         float64       // ours does this many times the work of plain in the same time
	AtMost          float64       // ours takes this many times as long as plain
	Or              time.Duration // or no more than this longer, which for AtMost is as good
	Pairs           int           // 7 if zero; 9 for tails of latency
}

// Compare calls plain and ours in turns and prints the median ratio. Both do the same
// work and return the duration of the measured part. Compare measures once, for any
// b.N.
func (r Bar) Compare(b *testing.B, plain, ours func(b *testing.B) time.Duration) {
	b.Helper()
	if b.N > 1 {
		return
	}
	pairs := cmp.Or(r.Pairs, 7)
	var ratios, extra []float64
	for i := range pairs + 1 {
		var p, o time.Duration
		if i%2 == 0 { // each comes first in half of the pairs
			p, o = plain(b), ours(b)
		} else {
			o, p = ours(b), plain(b)
		}
		if i == 0 {
			continue // warm-up
		}
		if r.AtLeast > 0 {
			ratios = append(ratios, p.Seconds()/o.Seconds())
		} else {
			ratios = append(ratios, o.Seconds()/p.Seconds())
		}
		extra = append(extra, (o - p).Seconds())
	}
	got := Median(ratios)
	if r.AtLeast > 0 {
		Report(b, r.Pattern, r.Metric, fmt.Sprintf("%.2f", got), fmt.Sprintf(">= %.2f", r.AtLeast), got >= r.AtLeast)
	} else {
		bar := fmt.Sprintf("<= %.2f", r.AtMost)
		if r.Or > 0 {
			bar += fmt.Sprintf(" or +%v", r.Or)
		}
		Report(b, r.Pattern, r.Metric, fmt.Sprintf("%.2f", got), bar, got <= r.AtMost || r.Or > 0 && Median(extra) <= r.Or.Seconds())
	}
	b.ReportMetric(got, "ratio")
}

// Report prints one line of the table of make bench.
func Report(b *testing.B, pattern, metric, got, bar string, ok bool) {
	verdict := "SHORT"
	if ok {
		verdict = "ok"
	}
	fmt.Printf("RATIO %-14s %-44s %10s   %-18s %s\n", pattern, metric, got, bar, verdict)
}

// Median returns the middle of v, or the mean of the two in the middle.
func Median[T ~float64 | ~int64](v []T) T {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
