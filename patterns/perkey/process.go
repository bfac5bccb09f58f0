package perkey

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

const maxBackoff = 10 * time.Second

// process applies the next event of q, and decides when q is processed again. Between
// two events of a key, other ready queues have their turn.
func (d *Dispatcher) process(ctx context.Context, q *keyQueue) {
	err := callHandler(ctx, d.cfg.Log, q.key, d.applyNext, q)
	d.mu.Lock()
	evicted := d.reschedule(q, err)
	d.mu.Unlock()
	d.nak(evicted)
}

func (d *Dispatcher) reschedule(q *keyQueue, err error) (evicted []numberedMsg) {
	if err != nil {
		q.failures++
		q.next = 0 // Apply can have stored the event before it failed
		wait := min(d.cfg.Backoff<<min(q.failures-1, 10), maxBackoff)
		d.cfg.Log.Warn("perkey: an event failed", "dispatcher", d.name, "key", q.key, "err", err, "retry in", wait)
		return d.deactivate(q, wait)
	}
	q.failures = 0
	if q.peek() != nil {
		d.ready <- q
		return nil
	}
	if len(q.held) > 0 {
		q.missing = true
		return d.deactivate(q, d.cfg.GapTimeout)
	}
	q.active = false
	return nil
}

// applyNext applies the next event of q, or the missing events before it.
func (d *Dispatcher) applyNext(ctx context.Context, q *keyQueue) error {
	events, err := d.nextEvents(ctx, q)
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Key != q.key || e.Version != q.next { // Missing returned more, or not all
			continue
		}
		if err := d.ledger.Apply(ctx, e); err != nil {
			return fmt.Errorf("apply version %d: %w", e.Version, err)
		}
		d.advance(q, e.Version+1)
	}
	return nil
}

// nextEvents returns the next event. If it is not held, the ledger is asked which one
// is next. If that one was missing before the last wait, too, Missing is called.
func (d *Dispatcher) nextEvents(ctx context.Context, q *keyQueue) ([]Event, error) {
	if next, _ := d.peek(q); next != nil {
		return next, nil
	}
	last, err := d.ledger.Last(ctx, q.key)
	if err != nil {
		return nil, fmt.Errorf("read the last version: %w", err)
	}
	d.advance(q, last+1)
	next, to := d.peek(q)
	if next != nil || to == 0 || !q.missing || d.cfg.Missing == nil {
		return next, nil
	}
	events, err := d.cfg.Missing(ctx, q.key, last+1, to)
	if err != nil {
		return nil, fmt.Errorf("fetch the missing versions %d to %d: %w", last+1, to, err)
	}
	return slices.SortedFunc(slices.Values(events), func(a, b Event) int { return cmp.Compare(a.Version, b.Version) }), nil
}

// peek returns the next event, or the last version of the gap before the held events.
func (d *Dispatcher) peek(q *keyQueue) (next []Event, gapEnd uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if msg := q.peek(); msg != nil {
		return []Event{{Key: q.key, Version: q.next, Header: msg.Headers(), Data: msg.Data()}}, 0
	}
	_, gapEnd = q.gap()
	return nil, gapEnd
}

// advance acknowledges the events before next.
func (d *Dispatcher) advance(q *keyQueue, next uint64) {
	d.mu.Lock()
	if q.next != next {
		q.missing, q.idleUntil = false, time.Time{}
	}
	done := q.advance(next)
	d.mu.Unlock()
	d.ack(done)
}
