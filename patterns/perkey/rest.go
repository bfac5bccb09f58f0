package perkey

import (
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// wake puts a line to work. There is room in ready, as each line there holds a message.
func (d *Dispatcher) wake(l *line) {
	if l.waking != nil {
		l.waking.Stop()
	}
	l.busy = true
	d.resting -= len(l.held)
	d.ready <- l
}

// rest lets a line wait: for what is next, or wait to be over. It returns what there
// is no room for meanwhile.
func (d *Dispatcher) rest(l *line, wait time.Duration) (excess []jetstream.Msg) {
	maps.DeleteFunc(l.held, func(_ uint64, h held) bool { return h.msg == nil }) // that can be asked for again
	l.busy, l.rests = false, time.Now().Add(wait)
	d.resting += len(l.held)
	l.waking = time.AfterFunc(wait, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.lines[l.key] == l && !l.busy && len(l.held) > 0 {
			d.wake(l)
		}
	})
	return d.shed(l)
}

// shed takes from a resting line what would come last, while resting lines hold more
// than half of the room: the other half is for those that can go on.
func (d *Dispatcher) shed(l *line) (excess []jetstream.Msg) {
	for !l.busy && d.resting > d.cfg.Room/2 && len(l.held) > 0 {
		last := slices.Max(slices.Collect(maps.Keys(l.held)))
		excess = append(excess, l.held[last].msg)
		delete(l.held, last)
		d.resting--
		<-d.room
	}
	return excess
}

// put adds what was asked for to a line that is busy.
func (d *Dispatcher) put(l *line, events []Event, to uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range events {
		if _, ok := l.held[e.Version]; !ok && e.Key == l.key && l.next <= e.Version && e.Version <= to {
			l.held[e.Version] = held{Event: e}
		}
	}
}

// forget drops lines on which nothing waits, once there are many: the ledger
// remembers them.
func (d *Dispatcher) forget() {
	if len(d.lines) >= 4*d.cfg.Room {
		maps.DeleteFunc(d.lines, func(_ string, l *line) bool { return !l.busy && len(l.held) == 0 })
	}
}

// settle acknowledges what is done, and has come again later what there was no room for.
func (d *Dispatcher) settle(done, excess []jetstream.Msg) {
	for _, m := range done {
		_ = m.Ack() // if it is lost, the message comes again, and is known
	}
	for _, m := range excess {
		_ = m.NakWithDelay(d.cfg.Patience)
	}
}
