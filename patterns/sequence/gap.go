package sequence

import (
	"context"
	"fmt"
	"time"
)

// checkGaps publishes what another resequencer made possible, and calls Missing for
// each gap that is older than GapTimeout.
func (r *Resequencer) checkGaps(running, work context.Context) error {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	for _, q := range r.queues {
		if running.Err() != nil {
			return nil
		}
		if len(q.held) == 0 {
			continue
		}
		if err := r.refresh(work, q); err != nil {
			return err
		}
		if len(q.held) == 0 || time.Since(q.decided) < r.cfg.GapTimeout {
			continue
		}
		if err := r.decide(work, q, false); err != nil {
			return err
		}
	}
	return nil
}

// refresh publishes what is next in the output stream.
func (r *Resequencer) refresh(ctx context.Context, q *keyQueue) error {
	if err := r.readPosition(ctx, q); err != nil {
		return err
	}
	return r.publishReady(ctx, q)
}

// makeRoom calls Missing for the longest queue if the buffer is full.
func (r *Resequencer) makeRoom(ctx context.Context) error {
	if r.held < r.cfg.Buffer {
		return nil
	}
	var longest *keyQueue
	for _, q := range r.queues {
		if longest == nil || len(q.held) > len(longest.held) {
			longest = q
		}
	}
	if err := r.refresh(ctx, longest); err != nil || r.held < r.cfg.Buffer {
		return err
	}
	return r.decide(ctx, longest, true)
}

// decide calls Missing for the gap of q. If the buffer is full and Missing returns
// Wait, the last message is evicted.
func (r *Resequencer) decide(ctx context.Context, q *keyQueue, full bool) error {
	gap := Gap{ID: q.id, Waited: time.Since(q.missing), Full: full}
	gap.From, gap.To = q.gap()
	decision := Wait // also after a panic
	_ = callHandler(ctx, r.cfg.Log, r.subject(q), func(_ context.Context, gap Gap) error {
		decision = r.cfg.Missing(gap)
		return nil
	}, gap)
	switch decision {
	case Skip:
		r.cfg.Log.Warn("sequence: skipped", "resequencer", r.name, "sequence", q.id, "from", gap.From, "to", gap.To)
		q.next = gap.To + 1
		return r.publishReady(ctx, q)
	case Fail:
		return fmt.Errorf("%w: %d to %d of %s", ErrMissing, gap.From, gap.To, q.id)
	}
	if !full {
		q.decided = time.Now()
		return nil
	}
	for _, msg := range q.evict(1) {
		r.held--
		return msg.NakWithDelay(r.cfg.GapTimeout / 2) // it returns before its own gap is older than GapTimeout
	}
	return nil
}
