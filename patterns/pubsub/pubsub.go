package pubsub

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

var (
	// ErrID reports a token that cannot be part of a subject.
	ErrID = errors.New("pubsub: bad id")
	// ErrConfig reports a Config that makes no sense; the text names the field.
	ErrConfig = errors.New("pubsub: bad config")
	// ErrTooLarge reports a message larger than the server takes.
	ErrTooLarge = errors.New("pubsub: message too large")
	// ErrPayload reports a message whose body does not decode.
	ErrPayload = errors.New("pubsub: bad payload")
	// ErrDropped reports that messages were lost because the handler was too slow.
	ErrDropped = errors.New("pubsub: messages dropped")
	// ErrPanic reports a handler that panicked.
	ErrPanic = errors.New("pubsub: handler panicked")
	// ErrTwice reports that Run was called again.
	ErrTwice = errors.New("pubsub: Run was called twice; make a new Subscriber")
)

// Config tunes a [Subscriber]. The zero Config is ready to use.
type Config struct {
	Pending int           // messages that may wait for the handler, and 64 MiB of them; 65,536, which is also the most
	Grace   time.Duration // how long Run handles what was received once ctx has ended; 10s if zero
	Report  func(Failure) // told, on Run's goroutine, what did not work; logged if nil
	Log     *slog.Logger  // where failures go if nobody takes the report; discarded if nil
}

// maxPending is the capacity that nats.go gives a subscription by default.
const maxPending = 65_536

// maxSubject bounds a subject and a pattern: a server closes the connection of who
// sends a longer line than 4,096 bytes.
const maxSubject = 1024

func (c Config) normal() (Config, error) {
	c.Pending = cmp.Or(c.Pending, maxPending)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	log := cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Report == nil {
		c.Report = func(f Failure) { log.Warn("message not handled", "subject", f.Subject, "err", f.Err) }
	}
	if c.Pending < 1 || c.Pending > maxPending {
		return c, fmt.Errorf("%w: Pending is %d; it must be from 1 to %d", ErrConfig, c.Pending, maxPending)
	}
	if c.Grace < 0 {
		return c, fmt.Errorf("%w: Grace is %v; it must not be negative", ErrConfig, c.Grace)
	}
	return c, nil
}

// Failure is a message that was not handled, or a number of them.
type Failure struct {
	Subject string // of the message; of the subscription if Err is [ErrDropped]
	Err     error  // the handler's, or one that is [ErrPayload], [ErrPanic] or [ErrDropped]
}

// Publish sends v as JSON on subject, such as "orders.order-7.placed". It returns
// once the message is on its way; nobody tells whether anyone listens. While the
// connection is down, nats.go keeps up to 8 MiB to send later.
func Publish[T any](nc *nats.Conn, subject string, v T) error {
	if len(subject) > maxSubject {
		return fmt.Errorf("%w: a subject of %d bytes, at most %d", ErrID, len(subject), maxSubject)
	}
	if !plain(subject) {
		for token := range strings.SplitSeq(subject, ".") {
			if err := checkID(token); err != nil {
				return fmt.Errorf("%w in subject %.80q", err, subject)
			}
		}
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %T on %s: %w", ErrPayload, v, subject, err)
	}
	err = nc.Publish(subject, data)
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: %d bytes on %s, the server takes %d", ErrTooLarge, len(data), subject, nc.MaxPayload())
	}
	if err != nil {
		return fmt.Errorf("pubsub: publish on %s: %w", subject, err)
	}
	return nil
}

// plain tells at a glance, as every message waits for it, that each token of a
// subject is an id.
func plain(subject string) bool {
	n := 0 // bytes of the token
	for i := range len(subject) {
		switch c := subject[i]; {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_':
			n++
		case c == '.' && 0 < n && n <= 64:
			n = 0
		default:
			return false
		}
	}
	return 0 < n && n <= 64
}
