package schema

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Message is an event as a reader gets it.
type Message[T any] struct {
	Key      string
	Value    T
	Format   Format // as it was sent
	Sequence uint64 // in the stream
	Time     time.Time
	Corrects uint64 // the sequence of the event of Key that it takes the place of; 0 if none
}

// Handler handles an event. nil acks it, an error that wraps [ErrRefused] diverts
// it, and any other has it delivered again, after 1s and then ever later up to 1m.
type Handler[T any] func(ctx context.Context, m Message[T]) error

// Guard makes of handle what cons.Consume takes. What cannot be read is in the invalid
// message channel before it is terminated; what comes after it does not wait. A
// consumer of another stream, or without bodies, or with a MaxDeliver, is refused: past
// that, what could not be diverted would be lost. AckWait must be longer than all that is fetched ahead
// takes. The ctx is handed to handle; a message that comes after its end is handed back.
func (c *Channel[T]) Guard(ctx context.Context, cons jetstream.Consumer, handle Handler[T]) (jetstream.MessageHandler, error) {
	if handle == nil || cons == nil {
		return nil, fmt.Errorf("%w: the handler or the consumer is nil", ErrConfig)
	}
	info := cons.CachedInfo()
	if err := checkID(info.Name); err != nil {
		return nil, err
	}
	if want := c.events.CachedInfo().Config.Name; info.Stream != want {
		return nil, fmt.Errorf("%w: consumer %s is of stream %s, want %s", ErrMismatch, info.Name, info.Stream, want)
	}
	needed := info.Config
	needed.AckPolicy, needed.MaxDeliver, needed.HeadersOnly = jetstream.AckExplicitPolicy, -1, false
	if _, err := strengthen(info.Config, needed, nil); err != nil {
		return nil, fmt.Errorf("%w: consumer %s has %w", ErrMismatch, info.Name, err)
	}
	return func(msg jetstream.Msg) {
		if err := c.settle(ctx, info.Name, msg, handle); err != nil {
			c.cfg.Log.Warn("schema: could not settle; it will come again", "consumer", info.Name, "subject", msg.Subject(), "err", err)
		}
	}, nil
}

func (c *Channel[T]) settle(ctx context.Context, consumer string, msg jetstream.Msg, handle Handler[T]) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return msg.NakWithDelay(backoff(meta.NumDelivered)) // at once, it would come at once
	}
	m := Message[T]{Sequence: meta.Sequence.Stream, Time: meta.Timestamp}
	m.Format, _ = FormatOf(msg.Headers())                                        // Decode tells
	m.Corrects, _ = strconv.ParseUint(msg.Headers().Get(HeaderCorrects), 10, 64) // 0 if none
	m.Value, err = c.t.Decode(msg.Headers(), msg.Data())
	var ours bool
	if m.Key, ours = strings.CutPrefix(msg.Subject(), "schema."+c.t.name+"."); !ours {
		err = fmt.Errorf("%w: on %s", ErrForeign, msg.Subject()) // a stream can be made to store what its subjects do not tell
	}
	reasons := []error{ErrRefused, ErrUnmarked, ErrForeign, ErrFuture, ErrSchema}
	if err == nil {
		err, reasons = handle(ctx, m), reasons[:1] // another tells of another message, as of one that it sends on
	}
	if err == nil {
		return msg.Ack()
	}
	for _, reason := range reasons {
		if errors.Is(err, reason) {
			if err := c.divert(ctx, consumer, msg, meta, reason, err); err != nil {
				return errors.Join(err, msg.NakWithDelay(backoff(meta.NumDelivered)))
			}
			return msg.TermWithReason(reason.Error())
		}
	}
	c.cfg.Log.Info("schema: the handler failed; the event comes again", "consumer", consumer, "key", m.Key, "err", err)
	return msg.NakWithDelay(backoff(meta.NumDelivered))
}

func backoff(try uint64) time.Duration {
	return min(time.Minute, time.Second<<min(try-1, 6))
}
