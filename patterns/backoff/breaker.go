package backoff

import "time"

// State is that of a [Breaker].
type State string

const (
	Closed   State = "closed"    // calls go through
	Open     State = "open"      // none does
	HalfOpen State = "half-open" // one does, and decides
)

// Breaker stops calls to a dependency that fails: Failures in a row open it, for as
// long as Wait says. Then one call may go through; if it succeeds, the Breaker is
// closed, or else it is open again, for longer.
type Breaker struct {
	Failures int
	Wait     Policy

	failed  int       // in a row, while closed
	opened  int       // times in a row; 0 is closed
	until   time.Time // open
	probing bool
	turn    int // counts the changes of state
}

// State returns the state, and the time that is left of being open.
func (b *Breaker) State(now time.Time) (State, time.Duration) {
	switch {
	case b.opened == 0:
		return Closed, 0
	case now.Before(b.until):
		return Open, b.until.Sub(now)
	default:
		return HalfOpen, 0
	}
}

// Enter asks for a call. If it is let through, Leave is to be told its turn.
func (b *Breaker) Enter(now time.Time) (turn int, ok bool) {
	switch state, _ := b.State(now); state {
	case Open:
		return 0, false
	case HalfOpen:
		if b.probing {
			return 0, false
		}
		b.probing = true
	}
	return b.turn, true
}

// Leave records how a call ended, and reports whether that opened the Breaker. A
// call that was begun before the last change of state says nothing of the present.
func (b *Breaker) Leave(turn int, now time.Time, ok bool) (opened bool) {
	if turn != b.turn {
		return false
	}
	switch {
	case ok && b.opened > 0:
		b.failed, b.opened, b.probing = 0, 0, false
		b.turn++
	case ok:
		b.failed = 0
	default:
		b.failed++
		if b.opened > 0 || b.failed >= b.Failures {
			b.opened++
			b.failed, b.probing, b.until = 0, false, now.Add(b.Wait.Delay(b.opened))
			b.turn++
			return true
		}
	}
	return false
}
