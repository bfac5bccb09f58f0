package retry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrConfig reports a bad Config field.
	ErrConfig = errors.New("retry: bad config")
	// ErrOpen reports a call that was not made, because the Breaker is open.
	ErrOpen = errors.New("retry: the circuit breaker is open; call again later")
	// ErrBudget reports a retry that was not made, because the Budget has no token.
	ErrBudget = errors.New("retry: the retry budget is spent; call again later")
	// ErrPermanent is wrapped by the error of a call that must not be retried.
	ErrPermanent = errors.New("retry: permanent error")

	errFailed = errors.New("the call failed or panicked")
)

// Config tunes a Retrier. The zero Config is ready.
type Config struct {
	Policy      Policy        // delays between attempts; 100 ms up to 10 s, half of each random, if zero
	MaxAttempts int           // of one Do; 5 if zero
	Timeout     time.Duration // of one attempt; 10 s if zero
	Budget      *Budget       // a new one with Ratio 0.1 if nil; several Retriers may share one
	Breaker     *Breaker      // a new one if nil; several Retriers may share one
}

// Retrier retries calls of one dependency. It is safe for concurrent use.
type Retrier struct{ cfg Config }

// NewRetrier returns a Retrier, or ErrConfig.
func NewRetrier(cfg Config) (*Retrier, error) {
	cfg.Policy = cmp.Or(cfg.Policy, Policy{Initial: 100 * time.Millisecond, Max: 10 * time.Second, Jitter: 0.5})
	if cfg.Budget == nil {
		cfg.Budget = &Budget{Ratio: 0.1}
	}
	if cfg.Breaker == nil {
		cfg.Breaker = &Breaker{}
	}
	err := errors.Join(
		cfg.Policy.check("Policy"), setDefault("MaxAttempts", &cfg.MaxAttempts, 5, 1), setDefault("Timeout", &cfg.Timeout, 10*time.Second, 1),
		cfg.Budget.check(), cfg.Breaker.check(),
	)
	if err != nil {
		return nil, err
	}
	return &Retrier{cfg}, nil
}

// Do calls call until it returns nil, and waits between the attempts as Policy says.
// It returns an error that wraps the error of the last attempt:
//
//   - after MaxAttempts, or when ctx ends;
//   - after one attempt, if its error wraps ErrPermanent;
//   - without the next attempt, if the Breaker is open (ErrOpen) or the Budget has no
//     token (ErrBudget).
//
// The context of an attempt ends after Timeout. Do does not wait for a Breaker.
func (r *Retrier) Do(ctx context.Context, call func(context.Context) error) error {
	var last error
	for attempt := 1; ; attempt++ {
		if n, _ := r.Ready(); n == 0 {
			return stopped(attempt, ErrOpen, last)
		}
		if attempt > 1 && !r.cfg.Budget.Withdraw() {
			return stopped(attempt, ErrBudget, last)
		}
		if err := r.wait(ctx, attempt); err != nil {
			return stopped(attempt, err, last)
		}
		done := r.cfg.Breaker.Allow()
		if done == nil {
			return stopped(attempt, ErrOpen, last)
		}
		last = r.try(ctx, r.earn(done), call)
		if last == nil {
			return nil
		}
		if attempt == r.cfg.MaxAttempts || errors.Is(last, ErrPermanent) {
			return fmt.Errorf("retry: attempt %d failed: %w", attempt, last)
		}
	}
}

// stopped returns why an attempt was not made, with the error of the attempt before.
func stopped(attempt int, reason, last error) error {
	if last == nil {
		return reason
	}
	return fmt.Errorf("%w; attempt %d failed: %w", reason, attempt-1, last)
}

// wait waits for the delay before an attempt. It returns an error when ctx has ended.
func (r *Retrier) wait(ctx context.Context, attempt int) error {
	if attempt == 1 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(r.Delay(attempt - 1)):
		return nil
	}
}

// try makes one attempt and reports it to the breaker, also if call panics.
func (r *Retrier) try(ctx context.Context, done func(error), call func(context.Context) error) error {
	outcome := errFailed
	defer func() { done(outcome) }()
	attempt, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	err := call(attempt)
	switch {
	case err == nil || errors.Is(err, ErrPermanent):
		outcome = nil // a permanent error is a reply: the dependency works
	case errors.Is(ctx.Err(), context.Canceled):
		outcome = context.Canceled // the caller did not wait for the result
	}
	return err
}

// Delay returns the delay after a failed attempt; the first attempt is 1.
func (r *Retrier) Delay(attempt int) time.Duration { return r.cfg.Policy.Delay(attempt) }

// Ready returns how many attempts may start now. If none, ask again after wait.
func (r *Retrier) Ready() (n int, wait time.Duration) { return r.cfg.Breaker.Ready() }

// Start permits one attempt, for a caller that has its own loop, such as a consumer.
// The caller calls done once, with the error of the attempt, as for [Breaker.Allow].
// If done is nil, the attempt must not start. Then wait is its delay if the Budget has
// no token, and 0 if the Breaker is open: another process can make the attempt at once.
func (r *Retrier) Start(attempt int) (done func(err error), wait time.Duration) {
	done = r.cfg.Breaker.Allow()
	if done == nil {
		return nil, 0
	}
	if attempt > 1 && !r.cfg.Budget.Withdraw() {
		done(context.Canceled)
		return nil, r.Delay(attempt - 1)
	}
	return r.earn(done), 0
}

// earn adds to done that a success earns a part of a token.
func (r *Retrier) earn(done func(error)) func(error) {
	return func(err error) {
		if err == nil {
			r.cfg.Budget.Deposit()
		}
		done(err)
	}
}
