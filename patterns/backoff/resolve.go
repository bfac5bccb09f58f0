package backoff

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// resolve acknowledges, retries or fails a message after an attempt.
func (w *Worker) resolve(ctx context.Context, msg jetstream.Msg, m Message, err error) (action string, _ error) {
	if err == nil {
		return "ack", msg.Ack()
	}
	if m.Delivery >= w.cfg.MaxDeliver || errors.Is(err, ErrPoison) {
		return w.fail(ctx, msg, m, err)
	}
	delay := w.cfg.Policy.Delay(m.Delivery)
	if delay < w.cfg.ScheduleAfter {
		return w.nak(msg, delay)
	}
	action, err = w.schedule(ctx, msg, m, m.Delivery, delay)
	if err == nil {
		return action, nil
	}
	warnIf(w.cfg.Log, action, msg, err)
	// The nak holds a slot of MaxAckPending. If the schedule was stored after all, the copy is delivered first.
	return w.nak(msg, delay+time.Second)
}

// nak delays a redelivery. Without a connection it does nothing: nats.go would send the
// nak after the reconnect, when another worker may have the message, and cut its delay.
func (w *Worker) nak(msg jetstream.Msg, delay time.Duration) (action string, err error) {
	if !w.js.Conn().IsConnected() {
		return "nak", nats.ErrDisconnected
	}
	return "nak", msg.NakWithDelay(delay)
}

// schedule stores a copy that the server publishes to the queue after delay, with the
// number of attempts. Unlike a nak it holds no slot of MaxAckPending, and a delivery
// without an attempt is not counted.
func (w *Worker) schedule(ctx context.Context, msg jetstream.Msg, m Message, attempts int, delay time.Duration) (action string, err error) {
	at := time.Now().Add(delay).UTC().Format(time.RFC3339Nano) // jetstream.WithScheduleAt drops fractions of a second
	stored, err := w.store(ctx, m, "later", map[string]string{
		HeaderDeliveries: strconv.Itoa(attempts), "Nats-Schedule": "@at " + at, "Nats-Schedule-Target": m.Subject})
	if !stored {
		return "schedule", err
	}
	return "ack", msg.Ack()
}

// fail stores a message as failed, and terminates it after that.
func (w *Worker) fail(ctx context.Context, msg jetstream.Msg, m Message, reason error) (action string, err error) {
	text := errorText(reason)
	stored, err := w.store(ctx, m, "failed", map[string]string{HeaderDeliveries: strconv.Itoa(m.Delivery), HeaderReason: text})
	if !stored {
		return "store the failed message", err
	}
	w.cfg.Log.Error("backoff: a message failed", "queue", w.queue, "id", m.ID, "deliveries", m.Delivery, "err", text)
	return "term", msg.TermWithReason(text)
}

// store stores a copy of a message under another subject: of the stored original,
// because a handler may change its message. If the original is gone, it stores nothing:
// this worker was late, and another one has resolved the message.
func (w *Worker) store(ctx context.Context, m Message, kind string, header map[string]string) (stored bool, err error) {
	if !w.js.Conn().IsConnected() {
		return false, nats.ErrDisconnected // the calls would wait for the reconnect
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Timeout/2) // and Timeout before it are less than AckWait
	defer cancel()
	original, err := w.stream.GetMsg(ctx, m.Sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c := &nats.Msg{Subject: subject(w.queue, kind, m.ID), Header: copyHeader(original.Header, "Backoff-"), Data: original.Data}
	c.Header.Set(HeaderSequence, strconv.FormatUint(m.Sequence, 10))
	for name, value := range header {
		c.Header.Set(name, value)
	}
	_, err = w.js.PublishMsg(ctx, c, jetstream.WithExpectLastSequenceForSubject(m.Sequence, m.Subject))
	if isConflict(err) {
		return false, nil
	}
	return err == nil, err
}

// isCopied reports whether a redelivered message was scheduled or failed before, by a
// worker whose ack was lost. Then the next message of its ID is the copy.
func (w *Worker) isCopied(ctx context.Context, m Message) (bool, error) {
	next, err := w.stream.GetMsg(ctx, m.Sequence+1, jetstream.WithGetMsgSubject(subject(w.queue, "*", m.ID)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && next.Header.Get(HeaderSequence) == strconv.FormatUint(m.Sequence, 10), err
}
