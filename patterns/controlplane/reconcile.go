package controlplane

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// converge brings the instance to d, and reports what came of it. It does not try
// again once ctx has ended, and gives up when work ends.
func (a *Agent) converge(ctx, work context.Context, d Desired, apply func(context.Context, Desired) error) {
	from := a.now().State
	if !slices.Contains(next[from], d.State) {
		a.tell(func(r *Report) {
			r.Generation, r.Problem = d.Generation, fmt.Sprintf("%s cannot become %s", from, d.State)
		})
		return
	}
	for wait := a.cfg.Retry; ; wait = min(2*wait, 32*a.cfg.Retry) {
		err := a.safely(func() error { return apply(work, d) })
		a.tell(func(r *Report) {
			if r.Generation, r.Problem = d.Generation, ""; err != nil {
				r.Problem = err.Error()
				return
			}
			r.State, r.LogLevel, r.Rate = d.State, d.LogLevel, d.Rate
		})
		if err == nil || errors.Is(err, ErrRefused) {
			return
		}
		a.cfg.Log.Warn("not applied", "generation", d.Generation, "err", err, "again in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		case <-work.Done():
			return
		}
	}
}

// now returns what the agent last reported.
func (a *Agent) now() Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.is
}

// tell changes the report, which [Agent.write] then writes.
func (a *Agent) tell(change func(r *Report)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.is)
	a.is.At = time.Now()
	select {
	case a.news <- struct{}{}:
	default: // there is news already
	}
}

// write writes the report whenever there is news, the latest only, and once more
// when ctx has ended. What the instance does never waits for it.
func (a *Agent) write(ctx context.Context) {
	put := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		data, err := encode(a.now())
		if err == nil {
			_, err = a.kv.Put(ctx, a.report, data)
		}
		if err != nil {
			a.cfg.Log.Warn("report not written", "instance", a.report, "err", err)
		}
		return err
	}
	for {
		select {
		case <-a.news:
			if put(ctx) == nil {
				continue
			}
			select {
			case a.news <- struct{}{}: // still news
			default:
			}
			select {
			case <-time.After(a.cfg.Retry):
				continue
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		if len(a.news) > 0 {
			_ = put(context.WithoutCancel(ctx)) // logged; there is no later
		}
		return
	}
}

// safely turns a panic of a handler into its error. The stack is for the log only.
func (a *Agent) safely(handler func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
			a.cfg.Log.Error("a handler panicked", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	return handler()
}
