package retry

import (
	"cmp"
	"fmt"
	"sync"
	"time"
)

// Budget limits retries to a part of the successful calls, because retries keep an
// overloaded dependency overloaded. A retry costs one token. The Budget starts with
// Burst tokens, and never has more. It gains Ratio of a token with each success, and
// one token per Every: without that, nothing would be retried once all calls fail.
// It is safe for concurrent use. The zero Budget is ready.
type Budget struct {
	Ratio float64
	Burst int           // 10 if zero
	Every time.Duration // 1 s if zero

	mu     sync.Mutex // guards what follows
	tokens float64
	last   time.Time // when tokens was computed; zero before the first time
}

// Deposit records a success.
func (b *Budget) Deposit() { b.change(time.Now(), b.Ratio) }

// Withdraw takes a token for a retry. It returns false if there is none.
func (b *Budget) Withdraw() bool { return b.change(time.Now(), -1) }

// change adds tokens, and those that were earned by time. It returns false, and adds
// none, if less than nothing would be left.
func (b *Budget) change(now time.Time, tokens float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	burst := float64(cmp.Or(b.Burst, 10))
	if b.last.IsZero() {
		b.tokens, b.last = burst, now
	}
	if passed := now.Sub(b.last); passed > 0 {
		b.tokens = min(b.tokens+passed.Seconds()/cmp.Or(b.Every, time.Second).Seconds(), burst)
		b.last = now
	}
	if b.tokens+tokens < 0 {
		return false
	}
	b.tokens = min(b.tokens+tokens, burst)
	return true
}

func (b *Budget) check() error {
	if !(b.Ratio >= 0) || b.Burst < 0 || b.Every < 0 {
		return fmt.Errorf("%w: Budget is {Ratio %v, Burst %v, Every %v}; use no negative values", ErrConfig, b.Ratio, b.Burst, b.Every)
	}
	return nil
}
