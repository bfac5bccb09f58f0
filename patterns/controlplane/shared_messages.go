// Code generated from internal/shared by make stamp; DO NOT EDIT.

package controlplane

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"
)

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("controlplane: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}

// withGrace returns a context for handlers: it ends grace after ctx, or with stop. If it
// ends after ctx, each function of before is called first.
func withGrace(ctx context.Context, grace time.Duration, before ...func()) (work context.Context, stop func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	end := func() {
		for i := 0; i < len(before) && work.Err() == nil; i++ {
			before[i]()
		}
		cancel()
	}
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(grace, end) })
	return work, func() { unhook(); cancel() }
}

// redeliveryDelay returns how long a message waits after a failed delivery attempt:
// first, doubled after each further attempt, up to one minute.
func redeliveryDelay(first time.Duration, delivery int) time.Duration {
	doubled := float64(first) * math.Exp2(float64(delivery-1))
	return time.Duration(min(doubled, float64(max(first, time.Minute))))
}
