package perkey

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// line is what waits to be applied to one key.
type line struct {
	key    string
	held   map[uint64]held // by version
	next   uint64          // the version to be applied next; 0 if the ledger has to be asked
	busy   bool            // it is ready, or a worker has it
	rests  time.Time       // until then, unless what is next comes
	tries  int             // of what is next that have failed
	gap    bool            // what is next was missing already when the line went to rest
	waking *time.Timer
}

type held struct {
	Event
	msg   jetstream.Msg // nil if it was asked for
	since time.Time
}

// take puts a message in its line, and the line to work if that can go on.
func (d *Dispatcher) take(m jetstream.Msg) {
	e, err := read(m)
	if err != nil {
		<-d.room
		d.cfg.Log.Error("perkey: refused", "dispatcher", d.name, "subject", m.Subject(), "err", err)
		_ = m.TermWithReason(err.Error())
		return
	}
	var done, excess []jetstream.Msg
	d.mu.Lock()
	l := d.lines[e.Key]
	if l == nil {
		d.forget()
		l = &line{key: e.Key, held: map[uint64]held{}}
		d.lines[e.Key] = l
	}
	before, twice := l.held[e.Version]
	if e.Version < l.next {
		<-d.room
		done = append(done, m)
	} else {
		if twice && before.msg != nil {
			<-d.room // if that was published twice, and is not this one again, it comes again and is known
		}
		l.held[e.Version] = held{e, m, time.Now()}
		if !twice && !l.busy {
			d.resting++
		}
		if !l.busy && (e.Version == l.next || !time.Now().Before(l.rests)) {
			d.wake(l)
		}
		excess = d.shed(l)
	}
	d.mu.Unlock()
	d.settle(done, excess)
}

// work applies what is next on a line, and decides how it goes on.
func (d *Dispatcher) work(ctx context.Context, l *line) {
	err := d.step(ctx, l)
	d.mu.Lock()
	_, more := l.held[l.next]
	var excess []jetstream.Msg
	switch {
	case err != nil:
		wait := min(100*time.Millisecond<<min(l.tries, 10), 10*time.Second)
		l.tries++
		l.next = 0 // it may be in after all, or another's
		d.cfg.Log.Warn("perkey: not applied", "dispatcher", d.name, "key", l.key, "err", err, "again in", wait)
		excess = d.rest(l, wait)
	case more:
		l.tries = 0
		d.ready <- l // at its end, as others wait too
	case len(l.held) > 0:
		l.tries, l.gap = 0, true
		excess = d.rest(l, d.cfg.Patience)
	default:
		l.tries, l.busy = 0, false
	}
	d.mu.Unlock()
	d.settle(nil, excess)
}

// step applies the next event. If it is not there, the ledger says whether it is in
// already; if not, and it has been missing for Patience, it is asked for.
func (d *Dispatcher) step(ctx context.Context, l *line) error {
	e, ok, _ := d.next(l)
	if !ok {
		last, err := d.ledger.Last(ctx, l.key)
		if err != nil {
			return fmt.Errorf("last version: %w", err)
		}
		d.pass(l, last)
		var to uint64
		if e, ok, to = d.next(l); !ok && to > 0 && l.gap && d.cfg.Missing != nil {
			events, err := d.cfg.Missing(ctx, l.key, last+1, to)
			if err != nil {
				return fmt.Errorf("versions %d to %d are missing: %w", last+1, to, err)
			}
			d.put(l, events, to)
			e, ok, _ = d.next(l)
		}
		if !ok {
			return nil
		}
	}
	if err := d.ledger.Apply(ctx, e); err != nil {
		return fmt.Errorf("version %d: %w", e.Version, err)
	}
	d.pass(l, e.Version)
	return nil
}

// next returns the event that is next, or else the last version that is missing
// before those held.
func (d *Dispatcher) next(l *line) (e Event, ok bool, to uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h, ok := l.held[l.next]
	if !ok && l.next > 0 && len(l.held) > 0 {
		to = slices.Min(slices.Collect(maps.Keys(l.held))) - 1
	}
	return h.Event, ok, to
}

// pass acknowledges all up to the version that was applied last.
func (d *Dispatcher) pass(l *line, last uint64) {
	var done []jetstream.Msg
	drop := func(v uint64) {
		if h, ok := l.held[v]; ok && h.msg != nil {
			<-d.room
			done = append(done, h.msg)
		}
		delete(l.held, v)
	}
	d.mu.Lock()
	if last > 0 && l.next == last {
		drop(last)
	} else {
		for v := range l.held {
			if v <= last {
				drop(v)
			}
		}
	}
	if l.next != last+1 {
		l.next, l.gap, l.rests = last+1, false, time.Time{}
	}
	d.mu.Unlock()
	d.settle(done, nil)
}
