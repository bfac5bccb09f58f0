package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("durable: bad id")
	// ErrConfig reports a Config, or a handler, that makes no sense.
	ErrConfig = errors.New("durable: bad config")
	// ErrMismatch reports a stream or consumer that exists with other settings.
	ErrMismatch = errors.New("durable: exists with other settings; change Config or call Provision")
	// ErrTwice reports a second call of Run.
	ErrTwice = errors.New("durable: Run may be called once; make a new subscriber")
	// ErrPoison is what a [Handler] wraps when no further try can help.
	ErrPoison = errors.New("durable: poison")
	// ErrUnconfirmed reports a message that may be stored or not. Published again
	// under its id, within the dedupe window, it is stored once.
	ErrUnconfirmed = errors.New("durable: not confirmed, though perhaps stored; publish it again under the same id")
	// ErrFull reports a topic at its MaxBytes, which refuses the new rather than drop
	// what somebody may not have read.
	ErrFull = errors.New("durable: the topic is full")
	// ErrClosed reports a Publisher that was closed.
	ErrClosed = errors.New("durable: the publisher is closed")
)

// Patience is how long a message is published again before it is given up as
// unconfirmed: longer than a cluster takes to elect a leader, and shorter than
// half of any dedupe window.
const Patience = 30 * time.Second

// Message is a message as it was stored. A Handler that must act once, although
// it may be given a message twice, goes by its ID.
type Message struct {
	ID       string
	Header   nats.Header
	Data     []byte
	Seq      uint64    // its place in the topic
	Time     time.Time // when it was stored
	Delivery int       // 1, or more when it has been tried before
}

// Handler is given one message at a time, in the order stored. What it returns
// decides:
//
//	             Run                           Poll                      Replay
//	nil          confirmed; the next one       confirmed; the next one   the next one
//	an error     again after a backoff, and    the same, and Poll        Replay ends
//	             none other before it          returns it                with it
//	ErrPoison    logged and passed over; it    the same                  Replay ends
//	(wrapped)    stays stored                                            with it
type Handler func(ctx context.Context, msg Message) error

// Config tunes a topic, its publishers and subscribers. The zero Config is ready.
type Config struct {
	Window  int           // Publisher: messages on their way at once; 1000 if zero
	AckWait time.Duration // Subscriber: silence after which a message is delivered again; 30s if zero
	Backoff time.Duration // Subscriber: wait after the first failure, doubled after each, up to a minute; 1s if zero
	Grace   time.Duration // Subscriber: for the message in hand when Run is told to stop; 10s if zero
	Log     *slog.Logger  // what nobody can be told otherwise; discarded if nil

	Dedupe   time.Duration         // how long an id is known; 2m if zero, at least twice Patience
	Keep     time.Duration         // age at which a message goes, read or not; never if zero
	MaxBytes int64                 // size at which the topic refuses more; none if zero
	Replicas int                   // 1 if zero
	Storage  jetstream.StorageType // file if zero
	Bind     bool                  // never create, only use what exists
	Metadata map[string]string     // put on what is created
}

func (c Config) normal() (Config, error) {
	err := errors.Join(
		fill("Window", &c.Window, 1000, 1), fill("Replicas", &c.Replicas, 1, 1), fill("MaxBytes", &c.MaxBytes, 0, 0),
		fill("AckWait", &c.AckWait, 30*time.Second, 100*time.Millisecond), fill("Backoff", &c.Backoff, time.Second, time.Millisecond),
		fill("Grace", &c.Grace, 10*time.Second, 1), fill("Dedupe", &c.Dedupe, 2*time.Minute, 2*Patience), fill("Keep", &c.Keep, 0, 0),
	)
	if err == nil && c.Keep > 0 && c.Keep < c.Dedupe {
		err = fmt.Errorf("%w: Keep is %v, less than Dedupe, %v", ErrConfig, c.Keep, c.Dedupe)
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c, err
}

func fill[T ~int | ~int64](field string, v *T, zero, least T) error {
	*v = cmp.Or(*v, zero)
	if *v < least {
		return fmt.Errorf("%w: %s is %v, less than %v", ErrConfig, field, *v, least)
	}
	return nil
}

// encode is the message id of a topic: under this id it is stored once.
func encode(topic, id string, msg *nats.Msg, limit int64) (*nats.Msg, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, fmt.Errorf("durable: message %s: %w: it is nil; one without a body is an empty Msg", id, nats.ErrInvalidMsg)
	}
	if n := int64(len(msg.Data)); n > limit {
		return nil, fmt.Errorf("durable: message %s: %w: %d bytes, the server takes %d; send a reference to the data", id, nats.ErrMaxPayload, n, limit)
	}
	h := maps.Clone(msg.Header)
	if h == nil {
		h = nats.Header{}
	}
	h[jetstream.MsgIDHeader] = []string{id}
	return &nats.Msg{Subject: "durable." + topic + "." + id, Header: h, Data: msg.Data}, nil
}

func decode(msg jetstream.Msg) (Message, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Message{}, err
	}
	return Message{ID: id(msg.Subject()), Header: msg.Headers(), Data: msg.Data(), Seq: meta.Sequence.Stream, Time: meta.Timestamp, Delivery: int(meta.NumDelivered)}, nil
}

func id(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }
