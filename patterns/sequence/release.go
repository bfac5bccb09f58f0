package sequence

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// subject is where a line goes out.
func (r *Resequencer) subject(l *line) string { return "sequence." + r.name + "." + l.id }

// recall reads from the stream how far a line has come. What is missing after that,
// if it is not what was missing before, is waited for anew.
func (r *Resequencer) recall(ctx context.Context, l *line) error {
	next, stored := uint64(1), uint64(0)
	err := r.insist(ctx, l, func(ctx context.Context) error {
		last, err := r.out.GetLastMsgForSubject(ctx, r.subject(l))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		p, err := At(last.Header)
		if err != nil {
			return fmt.Errorf("message %d of %s: %w; nobody else may write there", last.Sequence, r.out.CachedInfo().Config.Name, err)
		}
		next, stored = p.Number+1, last.Sequence
		return nil
	})
	if err != nil {
		return err
	}
	if next != l.next {
		l.missing = time.Time{}
	}
	l.next, l.stored = next, stored
	return r.drop(l)
}

// drop acknowledges what is held of a line and cannot go out any more: because it has
// already, or was skipped.
func (r *Resequencer) drop(l *line) error {
	var errs error
	for n, m := range l.held {
		if n < l.next {
			r.cfg.Log.Warn("sequence: too late or twice, and dropped", "resequencer", r.name, "sequence", l.id, "number", n)
			errs = errors.Join(errs, m.Ack())
			delete(l.held, n)
			r.held--
		}
	}
	return errs
}

// send stores m, which is next, in the stream of what is in order, if nothing else
// has gone there since; and only then acknowledges it.
func (r *Resequencer) send(ctx context.Context, l *line, m jetstream.Msg) error {
	out := &nats.Msg{Subject: r.subject(l), Header: make(nats.Header, len(m.Headers())+1), Data: m.Data()}
	for name, values := range m.Headers() {
		if !strings.HasPrefix(name, "Nats-") { // instructions to the stream it came from
			out.Header[name] = values
		}
	}
	var ack *jetstream.PubAck
	err := r.insist(ctx, l, func(ctx context.Context) (err error) {
		ack, err = r.js.PublishMsg(ctx, out, jetstream.WithExpectLastSequencePerSubject(l.stored))
		if errors.Is(err, jetstream.ErrNoStreamResponse) { // no leader for now, or no stream?
			if _, gone := r.out.Info(ctx); gone != nil {
				err = gone
			}
		}
		return err
	})
	if conflict(err) {
		return r.recall(ctx, l) // it, or another's, is there
	}
	if err != nil {
		return err
	}
	delete(l.held, l.next)
	r.held--
	l.next, l.stored = l.next+1, ack.Sequence
	return m.Ack()
}

// conflict reports that another has stored something first.
func conflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) // as a cluster says it
}

const tryTime = 2 * time.Second // how long an answer is waited for

// insist asks until there is an answer: one that is lost is asked for again, through
// any outage.
func (r *Resequencer) insist(ctx context.Context, l *line, do func(context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		try, cancel := context.WithTimeout(ctx, tryTime)
		err := do(try)
		cancel()
		var api *jetstream.APIError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &api) && api.Code == 400, // it heard, and refuses
			errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrMaxPayload), errors.Is(err, ErrPosition):
			return fmt.Errorf("%s: %w", r.subject(l), err)
		}
		r.cfg.Log.Warn("sequence: no answer", "subject", r.subject(l), "err", err, "again in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// refresh sends out what can go since another resequencer has sent something.
func (r *Resequencer) refresh(ctx context.Context, l *line) error {
	if err := r.recall(ctx, l); err != nil {
		return err
	}
	return r.release(ctx, l)
}

// overdue asks what to do about gaps that have been waited for long enough.
func (r *Resequencer) overdue(ctx context.Context) error {
	for _, l := range r.lines {
		if len(l.held) == 0 {
			continue
		}
		err := r.refresh(ctx, l)
		if err == nil && len(l.held) > 0 && time.Since(l.asked) >= r.cfg.Patience {
			err = r.decide(ctx, l, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// full makes room: the line that holds the most is asked about, and if it is to
// wait, what is farthest from being sent goes back.
func (r *Resequencer) full(ctx context.Context) error {
	var most *line
	for _, l := range r.lines {
		if most == nil || len(l.held) > len(most.held) {
			most = l
		}
	}
	if err := r.refresh(ctx, most); err != nil || r.held < r.cfg.Room {
		return err
	}
	return r.decide(ctx, most, true)
}

func (r *Resequencer) decide(ctx context.Context, l *line, full bool) error {
	gap := l.gap(time.Now())
	gap.Full = full
	switch r.cfg.Missing(gap) {
	case Skip:
		r.cfg.Log.Warn("sequence: skipped", "resequencer", r.name, "sequence", l.id, "from", gap.From, "to", gap.To)
		l.next = gap.To + 1
		return r.release(ctx, l)
	case Fail:
		return fmt.Errorf("%w: %d to %d of %s", ErrMissing, gap.From, gap.To, l.id)
	}
	if !full {
		l.asked = time.Now()
		return nil
	}
	n := l.farthest()
	m := l.held[n]
	delete(l.held, n)
	r.held--
	return m.NakWithDelay(r.cfg.Patience / 2) // sooner than it could itself be found missing
}
