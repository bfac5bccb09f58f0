package sequence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// subject is where a line goes out.
func (r *Resequencer) subject(l *line) string { return "sequence." + r.name + "." + l.id }

// recall reads from the stream how far a line has come.
func (r *Resequencer) recall(ctx context.Context, l *line) error {
	last, err := ask(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return r.out.GetLastMsgForSubject(ctx, r.subject(l))
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		l.next, l.stored = 1, 0
		return nil
	}
	if err != nil {
		return err
	}
	p, err := At(last.Header)
	if err != nil {
		return fmt.Errorf("message %d of %s: %w; nobody else may write there", last.Sequence, r.out.CachedInfo().Config.Name, err)
	}
	l.next, l.stored = p.Number+1, last.Sequence
	return r.drop(l)
}

// drop acknowledges what is held of a line and has gone out already.
func (r *Resequencer) drop(l *line) error {
	var errs error
	for n, m := range l.held {
		if n < l.next {
			errs = errors.Join(errs, m.Ack())
			delete(l.held, n)
			r.held--
		}
	}
	return errs
}

// send stores m, which is next, in the stream of what is in order, if nothing else
// has gone there since; and only then acknowledges it. A lost answer is asked for
// until it is known how the try has ended.
func (r *Resequencer) send(ctx context.Context, l *line, m jetstream.Msg) error {
	out := &nats.Msg{Subject: r.subject(l), Header: maps.Clone(m.Headers()), Data: m.Data()}
	for name := range out.Header {
		if strings.HasPrefix(name, "Nats-") { // instructions to the stream it came from
			delete(out.Header, name)
		}
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		ack, err := r.js.PublishMsg(try, out, jetstream.WithExpectLastSequencePerSubject(l.stored))
		cancel()
		var api *jetstream.APIError
		switch {
		case err == nil:
			delete(l.held, l.next)
			r.held--
			l.next, l.stored = l.next+1, ack.Sequence
			return m.Ack()
		case errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == wrongLast):
			return r.recall(ctx, l) // it, or another's, is there
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, nats.ErrMaxPayload):
			return err
		}
		r.cfg.Log.Warn("sequence: not stored", "subject", out.Subject, "err", err, "again in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

const wrongLast = 10164 // the same, as a cluster says it

// overdue asks what to do about gaps that have been waited for long enough.
func (r *Resequencer) overdue(ctx context.Context) error {
	for _, l := range r.lines {
		if len(l.held) > 0 && time.Since(l.asked) >= r.cfg.Patience {
			if err := r.decide(ctx, l, false); err != nil {
				return err
			}
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
	return r.decide(ctx, most, true)
}

func (r *Resequencer) decide(ctx context.Context, l *line, full bool) error {
	// Another resequencer may have sent it out meanwhile.
	if err := r.recall(ctx, l); err != nil {
		return err
	}
	if err := r.release(ctx, l); err != nil || len(l.held) == 0 {
		return err
	}
	gap := l.gap(time.Now())
	gap.Full = full
	switch r.cfg.Missing(gap) {
	case Skip:
		r.cfg.Log.Warn("sequence: skipped", "resequencer", r.name, "sequence", l.id, "from", gap.From, "to", gap.To)
		l.next, l.skipped = gap.To+1, true
		return r.release(ctx, l)
	case Fail:
		return fmt.Errorf("%w: %d to %d of %s", ErrMissing, gap.From, gap.To, l.id)
	default:
		l.asked = time.Now()
		if !full {
			return nil
		}
		n := l.farthest()
		m := l.held[n]
		delete(l.held, n)
		r.held--
		return m.NakWithDelay(r.cfg.Patience)
	}
}
