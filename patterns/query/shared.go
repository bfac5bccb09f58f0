// Code generated from internal/shared by make stamp; DO NOT EDIT.

package query

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// checkID refuses an ID that cannot be one token of a subject.
func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("%w: %.80q; use 1 to 64 of A-Z a-z 0-9 _ -", ErrID, id)
	}
	return nil
}

// setDefault sets a Config field that is zero, and refuses a value below least.
func setDefault[T ~int | ~int64](field string, v *T, value, least T) error {
	if *v == 0 {
		*v = value
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v; use at least %v", ErrConfig, field, *v, least)
	}
	return nil
}

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
