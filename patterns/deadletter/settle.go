package deadletter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// All yields the letters there are when it begins, oldest first. They may be
// settled on the way. After an error it goes on if it can.
func (c *Channel) All(ctx context.Context) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return c.dead.Info(ctx) })
		if err != nil {
			yield(Letter{}, fmt.Errorf("deadletter: list %s: %w", c.name, err))
			return
		}
		for raw, err := range between(ctx, c.dead, ">", 1, info.State.LastSeq) {
			var l Letter
			if err == nil {
				l, err = c.read(raw)
			}
			if errors.Is(err, ErrSettled) {
				continue
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// between yields the messages of a stream on a subject, by their sequence.
func between(ctx context.Context, s jetstream.Stream, subject string, from, to uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for seq := max(from, 1); seq <= to; {
			raw, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
				return s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
			})
			switch {
			case errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && raw.Sequence > to:
				return
			case err != nil:
				yield(nil, fmt.Errorf("deadletter: read on from %d: %w", seq, err))
				return
			case !yield(raw, nil):
				return
			}
			seq = raw.Sequence + 1
		}
	}
}

// Get returns a letter.
func (c *Channel) Get(ctx context.Context, id string) (Letter, error) {
	f := strings.Split(id, ".")
	for _, token := range f {
		if err := checkID(token); err != nil {
			return Letter{}, err
		}
	}
	if len(f) != 4 {
		return Letter{}, fmt.Errorf("%w: %.80q; use the ID of a Letter", ErrID, id)
	}
	raw, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return c.dead.GetLastMsgForSubject(ctx, c.subject(id))
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Letter{}, fmt.Errorf("%w: %s", ErrNoLetter, id)
	}
	if err != nil {
		return Letter{}, fmt.Errorf("deadletter: get %s: %w", id, err)
	}
	return c.read(raw)
}

// Requeue sends a letter's message again, on the subject it had, and settles the
// letter. A fix may change subject, headers and body, or return an error, which
// leaves the letter as it is; it may be nil. After an error, call it again: within
// the Duplicates window of the stream the message is stored once all the same.
// Other consumers of the stream that are guarded pass it over.
func (c *Channel) Requeue(ctx context.Context, id string, fix func(msg *nats.Msg) error) error {
	l, err := c.Get(ctx, id)
	if err != nil {
		return err
	}
	msg := l.Msg
	was := msg.Subject
	if fix != nil {
		if err := fix(msg); err != nil {
			return fmt.Errorf("deadletter: requeue %s: %w", id, err)
		}
	}
	if msg.Subject == "" {
		return fmt.Errorf("%w: %s", ErrGone, id)
	}
	if n := int64(len(msg.Data)); n > c.js.Conn().MaxPayload() {
		return fmt.Errorf("deadletter: requeue %s: %w: %d bytes, the server takes %d; send a reference to the data", id, nats.ErrMaxPayload, n, c.js.Conn().MaxPayload())
	}
	msg.Header = clean(msg.Header) // a fix may know no better
	if msg.Subject == was {        // and only who gave it up needs it again, if still there
		_, err := callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return c.js.Consumer(ctx, l.Stream, l.Consumer) })
		if err == nil {
			msg.Header.Set(headerFor, l.Stream+"."+l.Consumer)
		}
	}
	if err = ctx.Err(); err == nil {
		_, err = c.publish(ctx, msg, jetstream.WithMsgID("dead."+c.name+"."+id))
	}
	if err != nil {
		return fmt.Errorf("deadletter: requeue %s: %w; it is still kept", id, err)
	}
	if err := c.settle(ctx, l, "requeued"); err != nil && !errors.Is(err, ErrSettled) {
		return fmt.Errorf("deadletter: %s is requeued, but still listed; call again: %w", id, err)
	}
	return nil
}

// Purge settles a letter without sending its message again.
func (c *Channel) Purge(ctx context.Context, id string) error {
	l, err := c.Get(ctx, id)
	if err != nil {
		return err
	}
	if err := c.settle(ctx, l, "purged"); err != nil {
		return fmt.Errorf("deadletter: purge %s: %w", id, err)
	}
	return nil
}

// settle puts a mark in the place of a letter, which keeps the same message from
// becoming a letter again when who gave it up died before it could say so.
func (c *Channel) settle(ctx context.Context, l Letter, how string) error {
	m := nats.NewMsg(c.subject(l.ID))
	m.Header.Set(headerSettled, how+" "+time.Now().UTC().Format(time.RFC3339))
	_, err := c.publish(ctx, m, jetstream.WithExpectLastSequencePerSubject(l.seq))
	if conflict(err) {
		return ErrSettled
	}
	return err
}
