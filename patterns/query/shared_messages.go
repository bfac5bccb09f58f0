// Code generated from internal/shared by make stamp; DO NOT EDIT.

package query

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
)

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("query: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}

// drainSubscription unsubscribes after the messages that were sent to sub until now.
func drainSubscription(nc *nats.Conn, sub *nats.Subscription) {
	for !nc.IsConnected() { // no more messages arrive, and Drain would wait for the server
		if n, _, err := sub.Pending(); n == 0 || err != nil {
			_ = sub.Unsubscribe() // fails only if the connection is closed
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = sub.Drain() // fails only if the connection is closed
}
