package streaming

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Processor turns the events of a flow into results.
type Processor[In, Out any] struct {
	cfg           Config
	js            jetstream.JetStream
	feed, results jetstream.Stream
	where         string // the subject of the position
	rev           uint64 // the sequence of the position: whoever stores another takes over
	ran           atomic.Bool
	books         books[In, Out]
}

// NewProcessor finds or creates the streams of a flow. The context bounds this call
// only. Several may stand by, but the last one to Run is the only one to work.
func NewProcessor[In, Out any](ctx context.Context, js jetstream.JetStream, name string, flow Flow[In, Out], cfg Config) (*Processor[In, Out], error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	if err == nil && flow.Add == nil {
		err = fmt.Errorf("%w: Flow.Add is nil", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	feed, results, err := setup(ctx, js, name, cfg)
	if err != nil {
		return nil, fmt.Errorf("streaming: flow %s: %w", name, err)
	}
	return &Processor[In, Out]{cfg: cfg, js: js, feed: feed, results: results, where: "state." + name + ".position",
		books: books[In, Out]{name: name, flow: flow, cfg: cfg, limit: int(js.Conn().MaxPayload()) - 4096, // which headers take at most
			open: map[int64]map[string]window[Out]{}, dirty: map[string][]byte{}}}, nil
}

// Run takes over the flow from whichever Processor had it, and goes on where that
// one stood. It returns nil when ctx ends, [ErrFenced] when it is taken over in
// turn, and otherwise the reason for which it cannot go on. What it had not
// committed is done by the next.
func (p *Processor[In, Out]) Run(ctx context.Context) error {
	if p.ran.Swap(true) {
		return ErrTwice
	}
	err := p.takeOver(ctx)
	if err == nil {
		_, err = p.now(ctx)
	}
	if err == nil {
		err = p.load(ctx)
	}
	if err == nil {
		err = p.work(ctx)
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("streaming: flow %s: %w", p.books.name, err)
}

// takeOver stores the position anew: a Processor that paused, and does not know
// that it was replaced, can commit nothing from here on.
func (p *Processor[In, Out]) takeOver(ctx context.Context) error {
	for {
		at, _, rev, err := p.last(ctx)
		if err != nil {
			return err
		}
		p.books.at, p.books.done, p.rev = at, at.Seq, rev
		if err = p.settle(ctx, nil); !errors.Is(err, ErrFenced) {
			return err
		} // it had one more commit under way
	}
}

// load reads the open windows. The position comes last: a replica that lags, and
// has not yet all of them, has not yet the position either.
func (p *Processor[In, Out]) load(ctx context.Context) error {
	read, done := context.WithCancel(ctx)
	defer done()
	var bad error
	cons := jetstream.ConsumerConfig{FilterSubject: "state." + p.books.name + ".>", DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
	err := follow(read, p.js, p.cfg.Log, p.results.CachedInfo().Config.Name, cons, func(msg jetstream.Msg) {
		if meta, err := msg.Metadata(); err != nil {
			bad = err
		} else if meta.Sequence.Stream >= p.rev {
			done()
		} else if msg.Subject() != p.where {
			bad = errors.Join(bad, p.books.load(msg.Subject(), msg.Data()))
		}
	})
	return errors.Join(err, bad)
}

// work reads the feed from the position on. While a commit is under way events
// gather, so that commits are large when there is much to do, and prompt when not.
func (p *Processor[In, Out]) work(ctx context.Context) error {
	read, stop := context.WithCancel(ctx)
	defer stop()
	events, ended := make(chan jetstream.Msg, 4096), make(chan error, 1)
	cons := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: p.books.at.Seq + 1}
	go func() {
		ended <- follow(read, p.js, p.cfg.Log, p.feed.CachedInfo().Config.Name, cons, func(msg jetstream.Msg) {
			select {
			case events <- msg:
			case <-read.Done():
			}
		})
		close(events)
	}()
	err := p.loop(ctx, events)
	stop()
	for range events { // until the reader has left
	}
	return errors.Join(err, <-ended)
}

func (p *Processor[In, Out]) loop(ctx context.Context, events <-chan jetstream.Msg) error {
	idle := time.NewTimer(0) // what is due already need not wait for an event
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-idle.C:
			if err := p.rest(ctx); err != nil {
				return err
			}
		case msg, ok := <-events:
			for more := true; more; {
				if !ok {
					return nil
				}
				if err := p.books.take(ctx, msg); err != nil {
					return err
				}
				if p.books.full() {
					break
				}
				select {
				case msg, ok = <-events:
				default:
					more = false
				}
			}
		}
		for due := true; due; _, due = p.books.due() {
			if err := p.books.harvest(); err != nil {
				return err
			}
			if p.books.changed() {
				if err := p.commit(ctx); err != nil {
					return err
				}
			}
		}
		idle.Reset(p.cfg.Idle)
	}
}

// rest lets the server's clock close windows when all events have been taken: a
// sender that falls silent must not hold back the results of what it has sent.
func (p *Processor[In, Out]) rest(ctx context.Context) error {
	if len(p.books.open) == 0 {
		return nil
	}
	feed, err := p.now(ctx)
	switch {
	case final(err):
		return err
	case err != nil:
		p.cfg.Log.Debug("streaming: the server's time is not known for now", "flow", p.books.name, "err", err)
	case feed.State.LastSeq == p.books.at.Seq || feed.State.Msgs == 0:
		p.books.advance(feed.TimeStamp)
	}
	return nil
}

// now returns how the feed is, and what time it is, by the server.
func (p *Processor[In, Out]) now(ctx context.Context) (*jetstream.StreamInfo, error) {
	feed, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) {
		return p.js.Stream(ctx, p.feed.CachedInfo().Config.Name)
	})
	if err != nil {
		return nil, err
	}
	if info := feed.CachedInfo(); info.State.LastSeq >= p.books.at.Seq {
		return info, nil
	}
	return nil, ErrReplaced
}
