package deadletter

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// errLost is the last error of a message that nobody was left to tell of.
var errLost = errors.New("not known: at the last try the worker died, or the letter could not be stored")

// Guard makes of handle what cons.Consume takes: it acks, tries again, and stores
// what is given up as a dead letter before it leaves the stream. It counts the tries
// itself; a consumer with a MaxDeliver is refused, since past that a message would
// stay in the stream with nobody to tell. AckWait must be longer than handle takes.
// The ctx is handed to handle; a message that comes after its end is handed back, for
// a backoff later: stop cons.Consume as well, as each delivery is a try.
func (c *Channel) Guard(ctx context.Context, cons jetstream.Consumer, handle Handler) (jetstream.MessageHandler, error) {
	if handle == nil || cons == nil {
		return nil, fmt.Errorf("%w: the handler or the consumer is nil", ErrConfig)
	}
	info := cons.CachedInfo()
	me := info.Stream + "." + info.Name
	if err := errors.Join(checkID(info.Stream), checkID(info.Name)); err != nil {
		return nil, err
	}
	needed := info.Config
	needed.AckPolicy, needed.MaxDeliver = jetstream.AckExplicitPolicy, -1
	if _, err := strengthen(info.Config, needed, nil); err != nil {
		return nil, fmt.Errorf("%w: consumer %s has %w", ErrMismatch, me, err)
	}
	return func(msg jetstream.Msg) {
		if err := c.do(ctx, me, msg, handle); err != nil {
			c.cfg.Log.Warn("deadletter: could not settle; it will come again", "consumer", me, "subject", msg.Subject(), "err", err)
		}
	}, nil
}

func (c *Channel) do(ctx context.Context, me string, msg jetstream.Msg, handle Handler) error {
	meta, err := msg.Metadata()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return msg.NakWithDelay(c.backoff(int(meta.NumDelivered))) // at once, it might be delivered here again, and again
	}
	m := &nats.Msg{Subject: msg.Subject(), Header: maps.Clone(msg.Headers()), Data: msg.Data()}
	if only := m.Header[headerFor]; len(only) > 0 && only[0] != me {
		return msg.Ack() // requeued for another, and handled here the first time
	}
	try := int(meta.NumDelivered)
	if try > 1 && c.kept(ctx, c.letter(meta)) { // whoever stored it died before it could say so
		return msg.TermWithReason("a dead letter")
	}
	err = errLost
	if try <= c.cfg.Tries {
		err = c.call(ctx, handle, m)
	}
	l := Letter{Reason: Exhausted, Tries: min(try, c.cfg.Tries)}
	switch {
	case err == nil:
		return msg.Ack()
	case errors.Is(err, ErrPoison):
		l.Reason = Poison
	case try < c.cfg.Tries:
		return msg.NakWithDelay(c.backoff(try))
	}
	l.Error = err.Error()
	l.Msg = &nats.Msg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()} // whatever handle did to its own
	if err := c.store(ctx, c.letter(meta), c.letter(meta), l); err != nil {
		return errors.Join(err, msg.NakWithDelay(c.backoff(try)))
	}
	return msg.TermWithReason(string(l.Reason))
}

func (c *Channel) letter(meta *jetstream.MsgMetadata) string {
	return c.subject(idOf(meta.Stream, meta.Consumer, meta.Sequence.Stream, meta.Timestamp))
}

func (c *Channel) backoff(try int) time.Duration {
	d := c.cfg.Backoff
	for ; try > 1 && d < time.Minute; try-- {
		d = min(2*d, time.Minute)
	}
	return d
}

// call runs the handler; a panic is an error of this message, not of the worker.
func (c *Channel) call(ctx context.Context, handle Handler, msg *nats.Msg) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.cfg.Log.Error("deadletter: a handler panicked", "subject", msg.Subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}
