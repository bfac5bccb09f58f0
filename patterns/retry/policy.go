package retry

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Policy is exponential backoff with jitter: the delay is Initial after the first
// failed attempt, and doubles with each further one, up to Max. Jitter is the random
// part of each delay, from 0 to 1: clients that failed together retry apart.
type Policy struct {
	Initial, Max time.Duration
	Jitter       float64
}

// Delay returns the delay after a failed attempt: from MinDelay to MaxDelay. The
// first attempt is 1.
func (p Policy) Delay(attempt int) time.Duration {
	most := p.MaxDelay(attempt)
	return most - time.Duration(p.Jitter*rand.Float64()*float64(most))
}

// MaxDelay returns the longest delay after an attempt.
func (p Policy) MaxDelay(attempt int) time.Duration {
	d := p.Initial
	for ; attempt > 1; attempt-- {
		if d > p.Max/2 {
			return p.Max
		}
		d *= 2
	}
	return d
}

// MinDelay returns the shortest delay after an attempt.
func (p Policy) MinDelay(attempt int) time.Duration {
	most := p.MaxDelay(attempt)
	return most - time.Duration(p.Jitter*float64(most))
}

func (p Policy) check(field string) error {
	if p.Initial <= 0 || p.Max < p.Initial || !(p.Jitter >= 0 && p.Jitter <= 1) {
		return fmt.Errorf("%w: %s is %v; use Initial above 0, Max of at least Initial, Jitter from 0 to 1", ErrConfig, field, p)
	}
	return nil
}
