package shared

import (
	"time"

	"github.com/nats-io/nats.go"
)

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
