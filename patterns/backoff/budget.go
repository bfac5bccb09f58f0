package backoff

import "time"

// Budget holds retries to a share of what succeeds, because a dependency that is
// down is kept down by a crowd that tries again. It begins with Burst tokens and
// never has more; each success adds Ratio of one, and so does time, one each Every,
// without which what is left when nothing succeeds any more would never be tried.
// A retry costs one.
type Budget struct {
	Ratio float64
	Burst int
	Every time.Duration

	tokens float64
	at     time.Time // of the last look; zero before the first
}

// Earn records a success.
func (b *Budget) Earn(now time.Time) {
	b.pass(now)
	b.tokens = min(b.tokens+b.Ratio, float64(b.Burst))
}

// Spend reports whether there is a token for a retry, and takes it.
func (b *Budget) Spend(now time.Time) bool {
	b.pass(now)
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

func (b *Budget) pass(now time.Time) {
	if b.at.IsZero() {
		b.tokens = float64(b.Burst)
	} else if now.After(b.at) {
		b.tokens = min(b.tokens+now.Sub(b.at).Seconds()/b.Every.Seconds(), float64(b.Burst))
	}
	b.at = now
}
