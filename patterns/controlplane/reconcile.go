package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// reconcile calls apply until d is reached or refused, and reports the result. It stops
// when attempt ends: a newer state is desired, or Grace is over. It starts no attempt
// after ctx has ended.
func (a *Agent) reconcile(ctx, attempt context.Context, d Desired, apply Handler) {
	select {
	case a.applying <- struct{}{}:
		defer func() { <-a.applying }()
	case <-attempt.Done():
	}
	if ctx.Err() != nil || attempt.Err() != nil {
		return
	}
	from := a.currentReport().State
	if !slices.Contains(transitions[from], d.State) {
		a.updateReport(func(r *Report) {
			r.Generation, r.Problem = d.Generation, fmt.Sprintf("%s cannot become %s", from, d.State)
		})
		return
	}
	for n := 1; ; n++ {
		err := callHandler(attempt, a.cfg.Log, a.ownKey, apply, d)
		a.updateReport(func(r *Report) {
			if r.Generation, r.Problem = d.Generation, ""; err != nil {
				r.Problem = err.Error()
				return
			}
			r.State, r.LogLevel, r.Rate = d.State, d.LogLevel, d.Rate
		})
		if err == nil || errors.Is(err, ErrRefused) {
			return
		}
		delay := redeliveryDelay(a.cfg.Backoff, n)
		a.cfg.Log.Warn("controlplane: not applied", "key", a.ownKey, "generation", d.Generation, "err", err, "retry", delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return
		case <-attempt.Done():
			return
		}
	}
}
