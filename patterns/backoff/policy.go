package backoff

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Policy says how long to wait after a failed try: First, doubled after each, and
// never more than Ceiling. The part Jitter of each wait, from 0 to 1, is left to
// chance, so that what failed together does not come back together.
type Policy struct {
	First, Ceiling time.Duration
	Jitter         float64
}

// Delay returns the wait after a try that failed, the first of which is 1: between
// Least(try) and Most(try).
func (p Policy) Delay(try int) time.Duration {
	return p.Most(try) - time.Duration(p.Jitter*rand.Float64()*float64(p.Most(try)))
}

// Most returns the longest wait after a try.
func (p Policy) Most(try int) time.Duration {
	d := p.First
	for ; try > 1; try-- {
		if d > p.Ceiling/2 {
			return p.Ceiling
		}
		d *= 2
	}
	return d
}

// Least returns the shortest wait after a try.
func (p Policy) Least(try int) time.Duration {
	return p.Most(try) - time.Duration(p.Jitter*float64(p.Most(try)))
}

func (p Policy) check(field string) error {
	if p.First <= 0 || p.Ceiling < p.First || !(p.Jitter >= 0 && p.Jitter <= 1) {
		return fmt.Errorf("%w: %s is %v; it needs First over 0, Ceiling no less than that, Jitter from 0 to 1", ErrConfig, field, p)
	}
	return nil
}
