package backoff

import (
	"sync"
	"time"
)

const moment = 100 * time.Millisecond

// gate is what stands between a worker's hands and the dependency.
type gate struct {
	mu      sync.Mutex // guards what follows
	policy  Policy
	budget  Budget
	breaker Breaker
}

// room returns how many messages may be asked for now, or how long to wait.
func (g *gate) room(now time.Time, hands int) (n int, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch state, left := g.breaker.State(now); {
	case state == Closed:
		return hands, 0
	case state == Open:
		return 0, left
	case g.breaker.probing:
		return 0, moment
	default:
		return 1, 0
	}
}

// enter lets a try through, or returns how long the message is to wait before it asks
// again. A retry needs a token even if the breaker has a use for it.
func (g *gate) enter(now time.Time, try int) (turn int, wait time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if state, left := g.breaker.State(now); state == Open || g.breaker.probing {
		return 0, max(left, moment), false
	}
	if try > 1 && !g.budget.Spend(now) {
		return 0, g.policy.Delay(try - 1), false
	}
	turn, ok = g.breaker.Enter(now)
	return turn, 0, ok
}

// leave returns until when the breaker is open, if that is new.
func (g *gate) leave(turn int, now time.Time, ok bool) (until time.Time, opened bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ok {
		g.budget.Earn(now)
	}
	opened = g.breaker.Leave(turn, now, ok)
	return g.breaker.until, opened
}
