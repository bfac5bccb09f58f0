package queueing

import (
	"maps"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// delivery is one delivery of a job to this worker.
type delivery struct {
	msg jetstream.Msg
	job Message
}

// accept queues a delivery for the handlers. After a disconnect longer than AckWait
// the server may redeliver a job that is still in flight here: it is not started a
// second time. A delivery beyond the free slots gets a nak.
func (w *Worker) accept(msg jetstream.Msg) {
	job, err := newMessage(msg)
	if err != nil {
		warnIf(w.cfg.Log, "read a message", msg, err)
		return
	}
	w.mu.Lock()
	_, duplicate := w.inflight[job.Sequence]
	full := len(w.inflight) == cap(w.ready)
	if !duplicate && !full {
		w.inflight[job.Sequence] = msg
		w.ready <- delivery{msg, job} // never blocks: it has one slot for each job in flight
	}
	w.mu.Unlock()
	if full && !duplicate {
		warnIf(w.cfg.Log, "nak", msg, msg.Nak())
	}
}

func (w *Worker) release(d delivery) {
	w.mu.Lock()
	delete(w.inflight, d.job.Sequence)
	w.mu.Unlock()
	select {
	case w.freed <- struct{}{}:
	default:
	}
}

// owned returns the jobs in flight, whether or not a handler has begun.
func (w *Worker) owned() []jetstream.Msg {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.inflight))
}

// nakAll returns all jobs in flight to the server. Their handlers may still run, but
// their results have no effect: a message is acknowledged once.
func (w *Worker) nakAll() {
	for _, msg := range w.owned() {
		warnIf(w.cfg.Log, "nak", msg, msg.Nak())
	}
}
