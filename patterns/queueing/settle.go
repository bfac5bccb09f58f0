package queueing

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

// errLost is the reason of a job whose tries ended without a word: each worker
// died with it, or was out of reach for longer than AckWait.
var errLost = errors.New("every worker that had it was lost")

// do handles a job and settles it. The number of tries is held to here and not by
// the consumer's MaxDeliver, past which a job would stay in the stream for ever
// with nobody to tell of it: so a job delivered once more than its tries was in
// the hands of a worker that died at the last of them.
func (w *Worker) do(ctx context.Context, h *held, handle Handler) {
	defer w.putDown(h)
	if !w.holds(h) {
		return
	}
	msg, err := h.msg, errLost
	if h.try <= w.cfg.Tries {
		err = call(ctx, handle, &nats.Msg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()}, w.cfg.Log)
	}
	if !w.holds(h) {
		return
	}
	switch {
	case err == nil:
		w.told("ack", msg, msg.Ack())
	case h.try >= w.cfg.Tries || errors.Is(err, ErrPoison):
		w.told("give up", msg, w.fail(ctx, msg, err, min(h.try, w.cfg.Tries)))
	default:
		w.told("nak", msg, msg.NakWithDelay(w.backoff(h.try)))
	}
}

func (w *Worker) backoff(try int) time.Duration {
	d := w.cfg.Backoff
	for ; try > 1 && d < time.Minute; try-- {
		d = min(2*d, time.Minute)
	}
	return d
}

// fail stores the job with its reason, and only then takes it from the queue. If
// it cannot be stored, the job comes back after AckWait to be given up again.
func (w *Worker) fail(ctx context.Context, msg jetstream.Msg, reason error, tries int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	id := msg.Subject()[strings.LastIndexByte(msg.Subject(), '.')+1:]
	why := fmt.Sprintf("%.1000s", reason)
	m := nats.NewMsg("failed." + w.queue + "." + id)
	for k, v := range msg.Headers() {
		if !strings.HasPrefix(strings.ToLower(k), "nats-") { // those are orders to the server, already carried out
			m.Header[k] = v
		}
	}
	m.Header.Set(HeaderReason, why)
	m.Header.Set(HeaderTries, strconv.Itoa(tries))
	m.Data = msg.Data()
	_, err := w.js.PublishMsg(ctx, m)
	if errors.Is(err, nats.ErrMaxPayload) {
		m.Data, m.Header = nil, nats.Header{HeaderReason: {why}, HeaderTries: {strconv.Itoa(tries)}, HeaderTruncated: {"true"}}
		_, err = w.js.PublishMsg(ctx, m)
	}
	if err != nil {
		return err
	}
	return msg.TermWithReason(why)
}
