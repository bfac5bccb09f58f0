package datatype

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Message is a message as a [Handler] receives it.
type Message[T any] struct {
	Key      string // the last token of the subject
	Value    T
	Header   nats.Header
	Delivery int       // delivery attempt: 1 for the first
	Sequence uint64    // in the stream
	Time     time.Time // when it was stored
	Corrects uint64    // the sequence of the message of Key that it replaces; 0 if none
}

// Handler handles a message. The message is acknowledged after nil, and diverted after
// an error that wraps [ErrPoison]. After another error or a panic it is redelivered
// after 1 s, doubled each time, up to 1 min.
type Handler[T any] func(ctx context.Context, m Message[T]) error

// Guard returns the handler for cons.Consume. A message that cannot be decoded is
// stored in the invalid message channel, and then terminated; the next message does
// not wait for more than that. Guard refuses a consumer of another stream, without
// payloads, or with a MaxDeliver, after which a message that could not be diverted
// would be lost. AckWait must be longer than the handling of all prefetched messages.
// ctx is for handle; a message that arrives after its end is redelivered later.
func (c *Channel[T]) Guard(ctx context.Context, cons jetstream.Consumer, handle Handler[T]) (jetstream.MessageHandler, error) {
	if handle == nil || cons == nil {
		return nil, fmt.Errorf("%w: the handler or the consumer is nil", ErrConfig)
	}
	info := cons.CachedInfo()
	if err := checkID(info.Name); err != nil {
		return nil, err
	}
	if want := c.messages.CachedInfo().Config.Name; info.Stream != want {
		return nil, fmt.Errorf("%w: consumer %s is of stream %s, want %s", ErrMismatch, info.Name, info.Stream, want)
	}
	want := info.Config
	want.AckPolicy, want.MaxDeliver, want.HeadersOnly = jetstream.AckExplicitPolicy, -1, false
	if _, err := strengthen(info.Config, want, nil); err != nil {
		return nil, fmt.Errorf("%w: consumer %s has %w", ErrMismatch, info.Name, err)
	}
	return func(msg jetstream.Msg) {
		action, err := c.process(ctx, info.Name, msg, handle)
		warnIf(c.cfg.Log, action, msg, err)
	}, nil
}

// process handles or diverts msg, and acknowledges it by the result. It returns the
// last action with its error.
func (c *Channel[T]) process(ctx context.Context, consumer string, msg jetstream.Msg, handle Handler[T]) (action string, err error) {
	meta, err := msg.Metadata()
	if err != nil {
		return "read the metadata", err
	}
	delay := redeliveryDelay(time.Second, int(meta.NumDelivered))
	if ctx.Err() != nil {
		return "nak", msg.NakWithDelay(delay) // without a delay it would be redelivered at once
	}
	var m Message[T]
	err = callHandler(ctx, c.cfg.Log, msg.Subject(), func(_ context.Context, m *Message[T]) error { return c.decode(msg, meta, m) }, &m)
	if err != nil {
		return c.divert(ctx, consumer, msg, meta, ErrInvalid, err)
	}
	err = callHandler(ctx, c.cfg.Log, msg.Subject(), handle, m)
	if err == nil {
		return "ack", msg.Ack()
	}
	if errors.Is(err, ErrPoison) {
		return c.divert(ctx, consumer, msg, meta, ErrPoison, err)
	}
	c.cfg.Log.Info("datatype: the handler failed; the message is redelivered", "consumer", consumer, "subject", msg.Subject(), "err", err)
	return "nak", msg.NakWithDelay(delay)
}

func (c *Channel[T]) decode(msg jetstream.Msg, meta *jetstream.MsgMetadata, m *Message[T]) (err error) {
	*m = Message[T]{Header: msg.Headers(), Delivery: int(meta.NumDelivered), Sequence: meta.Sequence.Stream, Time: meta.Timestamp}
	if sequence := m.Header.Get(HeaderCorrects); sequence != "" {
		m.Corrects, _ = strconv.ParseUint(sequence, 10, 64) // 0 if it is no number
	}
	var ours bool
	if m.Key, ours = strings.CutPrefix(msg.Subject(), c.prefix); !ours { // a stream can have stored other subjects
		return fmt.Errorf("%w: the subject is %s", ErrInvalid, msg.Subject())
	}
	m.Value, err = c.codec.Decode(m.Header, msg.Data())
	return err
}
