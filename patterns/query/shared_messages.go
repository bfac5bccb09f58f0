// Code generated from internal/shared by make stamp; DO NOT EDIT.

package query

import (
	"time"

	"github.com/nats-io/nats.go"
)

// drainSubscription unsubscribes after the messages that were sent to sub until now.
func drainSubscription(nc *nats.Conn, sub *nats.Subscription) {
	if nc.IsConnected() {
		_ = sub.Drain() // fails only if the connection is closed
		return
	}
	// Without a connection no more messages arrive, and Drain would wait for one.
	for n, _, err := sub.Pending(); n > 0 && err == nil; n, _, err = sub.Pending() {
		time.Sleep(20 * time.Millisecond)
	}
	_ = sub.Unsubscribe() // fails only if the connection is closed
}
