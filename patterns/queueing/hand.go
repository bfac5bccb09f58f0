package queueing

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// held is a job this worker answers for, from its delivery until it is settled,
// begun or not.
type held struct {
	msg jetstream.Msg
	seq uint64 // in the stream
	try int
}

func (w *Worker) free() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg.InHand + w.cfg.Ahead - len(w.hand)
}

// put takes a delivery in. One of a job that is still held, as comes after an
// outage longer than AckWait, is not begun twice. One for which there is no room,
// as may come when a pull is repeated after an outage, is for another.
func (w *Worker) put(msg jetstream.Msg) {
	meta, err := msg.Metadata()
	if err != nil {
		w.told("read", msg, err)
		return
	}
	h := &held{msg: msg, seq: meta.Sequence.Stream, try: int(meta.NumDelivered)}
	w.mu.Lock()
	_, twice := w.hand[h.seq]
	full := len(w.hand) == cap(w.ready) || w.over
	if !twice && !full {
		w.hand[h.seq] = h
		w.ready <- h // as many fit as are held
	}
	w.mu.Unlock()
	if full && !twice {
		w.told("pass on", msg, msg.Nak())
	}
}

// holds tells whether h has not been handed back.
func (w *Worker) holds(h *held) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hand[h.seq] == h
}

func (w *Worker) putDown(h *held) {
	w.mu.Lock()
	if w.hand[h.seq] == h {
		delete(w.hand, h.seq)
	}
	w.mu.Unlock()
	select {
	case w.room <- struct{}{}:
	default:
	}
}

// extend tells the server, well before AckWait, that what is held is being seen to.
func (w *Worker) extend(done <-chan struct{}) {
	tick := time.NewTicker(w.cfg.AckWait / 3)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			for _, msg := range w.all(false) {
				w.told("extend", msg, msg.InProgress())
			}
		}
	}
}

func (w *Worker) handBack() {
	for _, msg := range w.all(true) {
		w.told("hand back", msg, msg.Nak())
	}
}

func (w *Worker) all(letGo bool) []jetstream.Msg {
	w.mu.Lock()
	defer w.mu.Unlock()
	var msgs []jetstream.Msg
	for _, h := range w.hand {
		msgs = append(msgs, h.msg)
	}
	if letGo {
		clear(w.hand)
		w.over = true
	}
	return msgs
}

func (w *Worker) told(what string, msg jetstream.Msg, err error) {
	if err != nil && !errors.Is(err, jetstream.ErrMsgAlreadyAckd) {
		w.cfg.Log.Warn("queueing: could not "+what+"; the job may be done again", "subject", msg.Subject(), "err", err)
	}
}
