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
	ErrID = errors.New("pubsub: bad ID")
	// ErrConfig reports a bad Config field or handler.
	ErrConfig = errors.New("pubsub: bad config")
	// ErrTooLarge reports a message that is larger than the server's max_payload.
	ErrTooLarge = errors.New("pubsub: message too large")
	// ErrPayload reports a body that cannot be encoded or decoded.
	ErrPayload = errors.New("pubsub: bad payload")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("pubsub: Run was already called")
)

// Config configures a [Subscriber]. The zero Config is ready to use.
type Config struct {
	Prefetch int           // messages that may wait for the handler, in at most 64 MiB; 65,536 if zero, which is also the maximum
	Grace    time.Duration // time for the messages received before ctx ended; 10s if zero
	Log      *slog.Logger  // messages that were dropped or whose handler failed; discarded if nil
}

const (
	maxPrefetch = 65_536 // the capacity that nats.go gives a subscription

	// maxSubject bounds a subject. The server closes a connection that sends a
	// protocol line of more than 4,096 bytes.
	maxSubject = 1024
)

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(setDefault("Prefetch", &c.Prefetch, maxPrefetch, 1, maxPrefetch), setDefault("Grace", &c.Grace, 10*time.Second, 0))
	return c, err
}

// Publish publishes v as JSON on subject, such as "orders.order-7.placed". It does
// not wait for the server, and does not know whether there are subscribers. While
// the connection is down, nats.go buffers up to 8 MiB and publishes them later.
func Publish[T any](nc *nats.Conn, subject string, v T) error {
	if err := checkSubject(subject); err != nil {
		return err
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%w: %T on %s: %w", ErrPayload, v, subject, err)
	}
	err = nc.Publish(subject, data)
	if errors.Is(err, nats.ErrMaxPayload) {
		return fmt.Errorf("%w: %d bytes on %s; the maximum is %d", ErrTooLarge, len(data), subject, nc.MaxPayload())
	}
	if err != nil {
		return fmt.Errorf("pubsub: publish on %s: %w", subject, err)
	}
	return nil
}

// checkSubject refuses a subject with a token that is not an ID. It is called for
// each message, so it scans a good subject once and without allocation.
func checkSubject(subject string) error {
	if len(subject) > maxSubject {
		return fmt.Errorf("%w: a subject of %d bytes; use at most %d", ErrID, len(subject), maxSubject)
	}
	if hasOnlyIDs(subject) {
		return nil
	}
	for token := range strings.SplitSeq(subject, ".") {
		if err := checkID(token); err != nil {
			return fmt.Errorf("%w in subject %.80q", err, subject)
		}
	}
	return nil
}

func hasOnlyIDs(subject string) bool {
	n := 0 // bytes of the current token
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
