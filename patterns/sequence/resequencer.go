package sequence

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Resequencer puts the messages of sequences in order: what comes shuffled on one
// stream goes out by number on another, SEQUENCE_<name>. That stream is all it
// remembers by.
type Resequencer struct {
	cfg   Config
	js    jetstream.JetStream
	name  string
	out   jetstream.Stream
	reads jetstream.Consumer
	ran   atomic.Bool
	lines map[string]*line
	held  int // on all lines
}

// New makes the resequencer called name, which reads stream, and creates what it
// needs. The context bounds this call only.
func New(ctx context.Context, js jetstream.JetStream, stream, name string, cfg Config) (*Resequencer, error) {
	ordered, reads, err := Setup(name, cfg)
	if err == nil {
		err = checkID(stream)
	}
	if err != nil {
		return nil, err
	}
	cfg, _ = cfg.normal() // Setup has found it good
	r := &Resequencer{cfg: cfg, js: js, name: name, lines: map[string]*line{}}
	in, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err == nil {
		r.out, err = ensure(ctx, streamOf(js, ordered.Name), ordered, cfg.Bind)
	}
	if err == nil {
		r.reads, err = ensure(ctx, consumerOf(in, reads.Durable), reads, cfg.Bind)
	}
	if err != nil {
		return nil, fmt.Errorf("sequence: resequence %s: %w", stream, err)
	}
	return r, nil
}

// Run puts in order what comes until ctx ends, hands back what it holds, and returns
// nil; before that, it returns only if it cannot go on. It may be called once. Two of
// one name share the work and keep the order, though each waits for what the other
// sends.
func (r *Resequencer) Run(ctx context.Context) error {
	if r.ran.Swap(true) {
		return ErrTwice
	}
	// Of some room, so that not every message has to wake the other side.
	in, trouble, leave := make(chan jetstream.Msg, 64), make(chan error, 1), make(chan struct{})
	consuming, err := r.reads.Consume(func(m jetstream.Msg) {
		select {
		case in <- m:
		case <-leave:
			_ = m.Nak() // else it comes again after AckWait
		}
	}, jetstream.PullMaxMessages(r.cfg.Room), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		select {
		case trouble <- err:
		default: // one is enough to have a look
		}
	}))
	if err != nil {
		return fmt.Errorf("sequence: %s: %w", r.name, err)
	}
	defer func() {
		close(leave)
		if r.js.Conn().IsConnected() {
			consuming.Drain() // hands back what it has fetched ahead
		} else {
			consuming.Stop() // a drain would wait for the server
		}
		<-consuming.Closed()
		for len(in) > 0 {
			_ = (<-in).Nak()
		}
		for _, l := range r.lines {
			for _, m := range l.held {
				_ = m.Nak() // likewise
			}
		}
	}()
	alive, patience := time.NewTicker(ackWait/3), time.NewTicker(r.cfg.Patience/4)
	defer alive.Stop()
	defer patience.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case cause := <-trouble: // mostly an outage, which ends
			err = r.gone(ctx, cause)
		case <-consuming.Closed():
			err = nats.ErrConnectionClosed
		case m := <-in:
			err = r.take(ctx, m)
		case <-alive.C:
			r.hold()
		case <-patience.C:
			err = r.overdue(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("sequence: %s: %w", r.name, err)
		}
	}
}

// take puts a message in its line.
func (r *Resequencer) take(ctx context.Context, m jetstream.Msg) error {
	p, err := At(m.Headers())
	if err != nil {
		r.cfg.Log.Error("sequence: refused", "resequencer", r.name, "subject", m.Subject(), "err", err)
		return m.TermWithReason(err.Error())
	}
	l := r.lines[p.ID]
	if l == nil {
		r.forget()
		l = &line{id: p.ID, held: map[uint64]jetstream.Msg{}}
		r.lines[p.ID] = l
	}
	if _, again := l.held[p.Number]; !again {
		r.held++
	}
	l.held[p.Number] = m
	if l.next == 0 {
		err = r.recall(ctx, l)
	} else if p.Number < l.next {
		err = r.drop(l)
	}
	if err == nil {
		err = r.release(ctx, l)
	}
	if err == nil && r.held >= r.cfg.Room {
		err = r.full(ctx)
	}
	return err
}

// release sends out what is next on a line, as far as it has come.
func (r *Resequencer) release(ctx context.Context, l *line) error {
	for {
		m, ok := l.held[l.next]
		if !ok {
			break
		}
		if err := r.send(ctx, l, m); err != nil {
			return err
		}
		l.missing = time.Time{}
	}
	if len(l.held) > 0 && l.missing.IsZero() {
		l.missing = time.Now()
		l.asked = l.missing
	}
	return nil
}

// gone returns an error if there is nothing left to read from.
func (r *Resequencer) gone(ctx context.Context, cause error) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	_, err := r.reads.Info(ctx)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	r.cfg.Log.Warn("sequence: reading is interrupted", "resequencer", r.name, "err", cause)
	return nil
}

// hold tells the server that what is held is not lost.
func (r *Resequencer) hold() {
	for _, l := range r.lines {
		for _, m := range l.held {
			_ = m.InProgress() // else it comes again, and is known
		}
	}
}

// forget drops lines on which nothing waits, once there are many: the stream
// remembers them.
func (r *Resequencer) forget() {
	if len(r.lines) < 4*r.cfg.Room {
		return
	}
	for id, l := range r.lines {
		if len(l.held) == 0 {
			delete(r.lines, id)
		}
	}
}
