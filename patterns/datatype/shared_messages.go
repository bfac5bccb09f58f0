// Code generated from internal/shared by make stamp; DO NOT EDIT.

package datatype

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// copyHeader returns a copy of h for a message that is published again. It leaves out
// the server's Nats-* headers, which are orders that were carried out: the server
// would refuse, deduplicate, schedule or expire the copy. It also leaves out names
// that begin with own, the prefix of this package's headers. nats.go receives names
// that it refuses to publish: each byte that it refuses becomes a "_".
func copyHeader(h nats.Header, own string) nats.Header {
	c := make(nats.Header, len(h)+4)
	for name, values := range h {
		low := strings.ToLower(name)
		if strings.HasPrefix(low, "nats-") || own != "" && strings.HasPrefix(low, strings.ToLower(own)) {
			continue
		}
		name = strings.Map(func(r rune) rune {
			if r <= ' ' || r > '~' || strings.ContainsRune("\"()/,:;<=>?@[\\]{}", r) {
				return '_'
			}
			return r
		}, name)
		if name != "" {
			c[name] = append(c[name], values...)
		}
	}
	return c
}

// errorText returns the text of err for a header: valid UTF-8 in one line, of at
// most 1,000 bytes.
func errorText(err error) string {
	text := err.Error()
	text = text[:min(len(text), 1000)]
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
}

// callHandler calls handle with msg. A panic is logged with its stack and returned
// as an error: it fails this message only.
func callHandler[M any](ctx context.Context, log *slog.Logger, subject string, handle func(context.Context, M) error, msg M) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("datatype: the handler panicked", "subject", subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}

// redeliveryDelay returns how long a message waits after a failed delivery attempt:
// first, doubled after each further attempt, up to one minute.
func redeliveryDelay(first time.Duration, delivery int) time.Duration {
	doubled := float64(first) * math.Exp2(float64(delivery-1))
	return time.Duration(min(doubled, float64(max(first, time.Minute))))
}

// warnIf logs that an ack, nak or term failed, unless the message was acked before.
func warnIf(log *slog.Logger, action string, msg jetstream.Msg, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		log.Warn("datatype: could not "+action+"; the message can be redelivered", "subject", msg.Subject(), "err", err)
	}
}
