package perkey

import (
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// keyQueue holds the events of one key until their turn. An active queue is in
// Dispatcher.ready, or a worker processes it. Any other queue is idle.
type keyQueue struct {
	reorderQueue
	key       string
	active    bool
	idleUntil time.Time // the arrival of the next event ends it earlier
	failures  int       // of the next event
	missing   bool      // the next event was missing before the last wait, too
	timer     *time.Timer
}

// receive puts a message, which has a slot, into the queue of its key.
func (d *Dispatcher) receive(msg jetstream.Msg) {
	e, err := parseEvent(msg)
	if err != nil {
		<-d.slots
		d.cfg.Log.Error("perkey: terminated a message", "dispatcher", d.name, "subject", msg.Subject(), "err", err)
		warnIf(d.cfg.Log, "terminate", msg, msg.TermWithReason(err.Error()))
		return
	}
	d.mu.Lock()
	q := d.queue(e.Key)
	if e.Version < q.next { // applied before
		d.mu.Unlock()
		d.ack([]numberedMsg{{e.Version, msg}})
		return
	}
	if replaced := q.put(e.Version, msg); replaced {
		<-d.slots // the server redelivers a replaced duplicate; it is acked after the event is applied
	} else if !q.active {
		d.idle++
	}
	if !q.active && (e.Version == q.next || !time.Now().Before(q.idleUntil)) {
		d.activate(q)
	}
	evicted := d.evict(q)
	d.mu.Unlock()
	d.nak(evicted)
}

// queue returns the queue of key. Once there are many queues, it first removes the
// empty ones: the ledger stores their versions.
func (d *Dispatcher) queue(key string) *keyQueue {
	if q := d.queues[key]; q != nil {
		return q
	}
	if len(d.queues) >= 4*d.cfg.Buffer {
		maps.DeleteFunc(d.queues, func(_ string, q *keyQueue) bool { return !q.active && len(q.held) == 0 })
	}
	q := &keyQueue{key: key}
	d.queues[key] = q
	return q
}

// activate gives q to the next free worker. It does not block: each active queue
// holds a message, and ready has room for one queue per slot.
func (d *Dispatcher) activate(q *keyQueue) {
	if q.timer != nil {
		q.timer.Stop()
	}
	q.active = true
	d.idle -= len(q.held)
	d.ready <- q
}

// deactivate lets q wait, at most until its next event arrives.
func (d *Dispatcher) deactivate(q *keyQueue, wait time.Duration) (evicted []numberedMsg) {
	q.active, q.idleUntil = false, time.Now().Add(wait)
	d.idle += len(q.held)
	q.timer = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.queues[q.key] == q && !q.active && len(q.held) > 0 {
			d.activate(q)
		}
	})
	return d.evict(q)
}

// evict removes the last events of q, which has become idle or longer, while idle queues
// hold more than half of the buffer. The other half is for queues that can continue.
func (d *Dispatcher) evict(q *keyQueue) (evicted []numberedMsg) {
	evicted = q.evict(d.idle - d.cfg.Buffer/2)
	d.idle -= len(evicted)
	return evicted
}

// ack acknowledges applied events. If an ack is lost, the server redelivers the event,
// and its version shows that it was applied.
func (d *Dispatcher) ack(done []numberedMsg) {
	for _, msg := range done {
		<-d.slots
		warnIf(d.cfg.Log, "ack", msg, msg.Ack())
	}
}

// nak has the server redeliver evicted events after GapTimeout.
func (d *Dispatcher) nak(evicted []numberedMsg) {
	for _, msg := range evicted {
		<-d.slots
		warnIf(d.cfg.Log, "nak", msg, msg.NakWithDelay(d.cfg.GapTimeout))
	}
}
