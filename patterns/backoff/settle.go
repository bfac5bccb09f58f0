package backoff

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

// do tries a message, or decides that it is not to be tried now, and settles it. What
// cannot be settled comes again after AckWait.
func (w *Worker) do(ctx context.Context, msg jetstream.Msg, handle Handler) {
	meta, err := msg.Metadata()
	if err != nil {
		w.told("read", msg, err)
		return
	}
	id := msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:]
	before, _ := strconv.Atoi(msg.Headers().Get(HeaderTries)) // 0 for one that was sent without
	try := before + int(meta.NumDelivered)
	work, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Timeout)
	defer cancel()
	if meta.NumDelivered > 1 {
		away, err := w.isAway(work, id, meta.Sequence.Stream)
		if err != nil {
			w.told("look it up", msg, err)
			return
		}
		if away {
			w.told("ack", msg, msg.Ack())
			return
		}
	}
	if try > w.cfg.Tries {
		w.told("give up", msg, w.giveUp(work, msg, id, meta.Sequence.Stream, w.cfg.Tries, errLost))
		return
	}
	turn, wait, ok := 0, time.Duration(0), ctx.Err() == nil
	if ok {
		turn, wait, ok = w.gate.enter(time.Now(), try)
	}
	if !ok { // this was no try
		w.told("postpone", msg, w.putAway(work, msg, id, meta.Sequence.Stream, try-1, wait))
		return
	}
	err = handle(work, Message{ID: id, Header: msg.Headers(), Data: msg.Data(), Try: try})
	until, opened := w.gate.leave(turn, time.Now(), err == nil || errors.Is(err, ErrPoison))
	if opened {
		w.pause(ctx, until, err)
	}
	w.settle(ctx, msg, id, meta.Sequence.Stream, try, err)
}

func (w *Worker) settle(ctx context.Context, msg jetstream.Msg, id string, seq uint64, try int, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Timeout/2)
	defer cancel()
	wait := w.cfg.Policy.Delay(try)
	switch {
	case err == nil:
		w.told("ack", msg, msg.Ack())
	case try >= w.cfg.Tries || errors.Is(err, ErrPoison):
		w.told("give up", msg, w.giveUp(ctx, msg, id, seq, try, err))
	case wait < w.cfg.Long:
		w.told("delay", msg, w.delay(msg, wait))
	default:
		if err := w.putAway(ctx, msg, id, seq, try, wait); err != nil {
			w.told("put away", msg, err)
			// It holds a slot now; and if it was put away after all, it is back before this.
			w.told("delay", msg, w.delay(msg, wait+time.Second))
		}
	}
}

// delay naks a message, unless the nak would be kept until the line is back: it could
// arrive when another worker has tried the message, and cut the wait for that short.
func (w *Worker) delay(msg jetstream.Msg, wait time.Duration) error {
	if !w.js.Conn().IsConnected() {
		return nats.ErrDisconnected
	}
	return msg.NakWithDelay(wait)
}

// putAway has the stream keep a message for a while and then put it in again, with
// the tries it has had. Unlike a nak with a delay, it holds no slot of MaxAckPending,
// and it counts no try that was none.
func (w *Worker) putAway(ctx context.Context, msg jetstream.Msg, id string, seq uint64, tries int, wait time.Duration) error {
	m := w.copy(msg, "later", id, tries, seq)
	m.Header.Set("Nats-Schedule", "@at "+time.Now().Add(wait).UTC().Format(time.RFC3339Nano)) // WithScheduleAt cuts to the second, which is early
	m.Header.Set("Nats-Schedule-Target", msg.Subject())
	if err := w.store(ctx, m, msg, seq); err != nil {
		return err
	}
	return msg.Ack()
}

// isAway reports whether a message that is delivered again was put away or given up,
// by a worker that could not say so: that is stored after it, under its id.
func (w *Worker) isAway(ctx context.Context, id string, seq uint64) (bool, error) {
	m, err := w.stream.GetMsg(ctx, seq+1, jetstream.WithGetMsgSubject(subject(w.queue, "*", id)))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	return err == nil && m.Header.Get(headerOf) == strconv.FormatUint(seq, 10), err
}

// giveUp stores a message with its reason, and only then takes it from the queue.
func (w *Worker) giveUp(ctx context.Context, msg jetstream.Msg, id string, seq uint64, tries int, reason error) error {
	m := w.copy(msg, "failed", id, tries, seq)
	why := strings.ToValidUTF8(fmt.Sprintf("%.200s", reason), "")
	m.Header.Set(HeaderReason, strings.NewReplacer("\r", " ", "\n", " ").Replace(why))
	if err := w.store(ctx, m, msg, seq); err != nil {
		return err
	}
	w.cfg.Log.Error("backoff: a message is given up", "queue", w.queue, "id", id, "tries", tries, "err", reason)
	return msg.TermWithReason(m.Header.Get(HeaderReason))
}

// store stores what a message becomes, on condition that the message is still there:
// a worker that was cut off may be late, and another may have done it.
func (w *Worker) store(ctx context.Context, m *nats.Msg, msg jetstream.Msg, seq uint64) error {
	if !w.js.Conn().IsConnected() {
		return nats.ErrDisconnected // or else it would be sent when the line is back, whatever we say here
	}
	_, err := w.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequenceForSubject(seq, msg.Subject()))
	return err
}

func (w *Worker) copy(msg jetstream.Msg, what, id string, tries int, seq uint64) *nats.Msg {
	m := &nats.Msg{Subject: subject(w.queue, what, id), Header: clean(msg.Headers()), Data: msg.Data()}
	m.Header.Set(HeaderTries, strconv.Itoa(tries))
	m.Header.Set(headerOf, strconv.FormatUint(seq, 10))
	return m
}

// clean returns the headers without ours, and without those that are orders to the
// server, already carried out.
func clean(h nats.Header) nats.Header {
	out := nats.Header{}
	for k, v := range h {
		if low := strings.ToLower(k); !strings.HasPrefix(low, "nats-") && !strings.HasPrefix(low, "backoff-") {
			out[k] = v
		}
	}
	return out
}

// pause stops the server delivering, to the other workers too.
func (w *Worker) pause(ctx context.Context, until time.Time, cause error) {
	w.cfg.Log.Warn("backoff: the breaker is open", "queue", w.queue, "until", until, "err", cause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := w.stream.PauseConsumer(ctx, w.cons.CachedInfo().Name, until); err != nil {
		w.cfg.Log.Warn("backoff: could not pause; only this worker does", "queue", w.queue, "err", err)
	}
}

func (w *Worker) told(what string, msg jetstream.Msg, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		w.cfg.Log.Warn("backoff: could not "+what+"; the message comes again", "subject", msg.Subject(), "err", err)
	}
}
