package retry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// State is the state of a [Breaker].
type State string

const (
	Closed   State = "closed"    // calls are allowed
	Open     State = "open"      // no call is allowed
	HalfOpen State = "half-open" // one call at a time is allowed: its result decides
)

// probeInterval is how long a caller waits while another one makes the probe.
const probeInterval = 100 * time.Millisecond

// Breaker is a circuit breaker: it stops calls of a dependency that fails. Failures in
// a row open it, for as long as Delay says. Then it is half-open: a call that succeeds
// closes it, a call that fails opens it again, for longer. It is safe for concurrent
// use. The zero Breaker is ready.
type Breaker struct {
	Failures int    // 5 if zero
	Delay    Policy // by the number of times it opened in a row; 1 s up to 1 min, half of each random, if zero

	mu      sync.Mutex // guards what follows
	failed  int        // calls in a row, while closed
	opened  int        // times in a row; 0 while closed
	until   time.Time  // when it becomes half-open
	probing bool       // a call is in progress while half-open
	changes int        // of the state
}

// State returns the state, and how long it stays open.
func (b *Breaker) State() (State, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state()
}

func (b *Breaker) state() (State, time.Duration) {
	if b.opened == 0 {
		return Closed, 0
	}
	if left := time.Until(b.until); left > 0 {
		return Open, left
	}
	return HalfOpen, 0
}

// Ready returns how many calls are allowed now. If none, ask again after wait.
func (b *Breaker) Ready() (n int, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready()
}

func (b *Breaker) ready() (n int, wait time.Duration) {
	state, left := b.state()
	switch {
	case state == Closed:
		return math.MaxInt, 0
	case state == Open:
		return 0, left
	case b.probing:
		return 0, probeInterval
	default:
		return 1, 0
	}
}

// Allow allows a call. The caller calls done once, with the error of the call: nil is
// a success, and an error is a failure, but one that wraps context.Canceled counts as
// neither. If done is nil, the call must not be made.
func (b *Breaker) Allow() (done func(err error)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, _ := b.ready()
	if n == 0 {
		return nil
	}
	b.probing = n == 1
	changes := b.changes
	return func(err error) { b.record(changes, err) }
}

// record records the result of a call. A call that started before the last change of
// the state does not count: it says nothing about the dependency now.
func (b *Breaker) record(changes int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if changes != b.changes {
		return
	}
	b.probing = false
	if errors.Is(err, context.Canceled) {
		return
	}
	if err == nil {
		b.failed = 0
		if b.opened > 0 {
			b.opened = 0
			b.changes++
		}
		return
	}
	b.failed++
	if b.opened == 0 && b.failed < cmp.Or(b.Failures, 5) {
		return
	}
	b.opened++
	b.changes++
	b.until = time.Now().Add(b.delay().Delay(b.opened))
}

func (b *Breaker) delay() Policy {
	return cmp.Or(b.Delay, Policy{Initial: time.Second, Max: time.Minute, Jitter: 0.5})
}

func (b *Breaker) check() error {
	if b.Failures < 0 {
		return fmt.Errorf("%w: Breaker.Failures is %v; use at least 1", ErrConfig, b.Failures)
	}
	return b.delay().check("Breaker.Delay")
}
