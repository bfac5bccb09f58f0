package sequence

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// subject returns the output subject of q.
func (r *Resequencer) subject(q *keyQueue) string { return "sequence." + r.name + "." + q.id }

// publishReady publishes the messages of q up to the next gap.
func (r *Resequencer) publishReady(ctx context.Context, q *keyQueue) error {
	for {
		msg := q.peek()
		if msg == nil {
			break
		}
		if err := r.publish(ctx, q, msg); err != nil {
			return err
		}
		q.missing = time.Time{}
	}
	if len(q.held) > 0 && q.missing.IsZero() {
		q.missing = time.Now()
		q.decided = q.missing
	}
	return nil
}

// publish stores the next message of q in the output stream, on the condition that
// nothing was stored after the previous one. Then it acknowledges the message.
func (r *Resequencer) publish(ctx context.Context, q *keyQueue, msg jetstream.Msg) error {
	out := []*nats.Msg{{Subject: r.subject(q), Header: copyHeader(msg.Headers(), ""), Data: msg.Data()}}
	out[0].Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(q.stored, 10))
	var stored uint64
	err := r.retry(ctx, q, func(ctx context.Context) (err error) {
		stored, err = publishBatch(ctx, r.js.Conn(), out, true)
		if !errors.Is(err, nats.ErrNoResponders) {
			return err
		}
		if _, gone := r.output.Info(ctx); gone != nil { // there is no stream, or only no leader
			return gone
		}
		return err
	})
	if isConflict(err) { // this message is stored already, or another resequencer stored one
		return r.readPosition(ctx, q)
	}
	if err != nil {
		return err
	}
	q.stored = stored
	q.advance(q.next + 1)
	r.held--
	return msg.Ack()
}

// readPosition reads from the output stream which message of q is next. If that is
// another one than before, its wait begins again.
func (r *Resequencer) readPosition(ctx context.Context, q *keyQueue) error {
	next, stored := uint64(1), uint64(0)
	err := r.retry(ctx, q, func(ctx context.Context) error {
		last, err := r.output.GetLastMsgForSubject(ctx, r.subject(q))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := At(last.Header)
		if err != nil {
			return fmt.Errorf("message %d: %w; only resequencers may publish to this subject", last.Sequence, err)
		}
		next, stored = p.Number+1, last.Sequence
		return nil
	})
	if err != nil {
		return err
	}
	if next != q.next {
		q.missing = time.Time{}
	}
	q.stored = stored
	return r.drop(q, next)
}

// drop acknowledges the held messages before next: they are duplicates, or were
// skipped.
func (r *Resequencer) drop(q *keyQueue, next uint64) (err error) {
	for _, msg := range q.advance(next) {
		r.cfg.Log.Warn("sequence: dropped a duplicate, or a message that was too late", "resequencer", r.name, "sequence", q.id, "number", msg.number)
		err = errors.Join(err, msg.Ack())
		r.held--
	}
	return err
}

// retry calls the server until it replies, also during an outage of any length.
func (r *Resequencer) retry(ctx context.Context, q *keyQueue, call func(context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := call(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || isPermanent(err) {
			return fmt.Errorf("%s: %w", r.subject(q), err)
		}
		r.cfg.Log.Warn("sequence: a request failed", "subject", r.subject(q), "err", err, "retry in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// isPermanent reports whether a retry cannot help.
func isPermanent(err error) bool {
	var refused *jetstream.APIError
	return errors.As(err, &refused) && refused.Code == 400 || isGone(err) || errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, ErrPosition)
}
