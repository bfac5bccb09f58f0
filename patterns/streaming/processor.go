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
	js              jetstream.JetStream
	results         jetstream.Stream // its reads go to the leader of the stream
	positionSubject string
	positionSeq     uint64 // of the stored position: a fencing token
	ran             atomic.Bool
	agg             aggregator[In, Out]
}

// NewProcessor finds or creates the streams of a flow. The context bounds this call
// only. Any number of Processors can exist, but only the last one to Run works.
func NewProcessor[In, Out any](ctx context.Context, js jetstream.JetStream, name string, flow Flow[In, Out], cfg Config) (*Processor[In, Out], error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	if flow.Add == nil {
		return nil, fmt.Errorf("%w: Flow.Add is nil", ErrConfig)
	}
	results, err := openStreams(name, cfg, func(want jetstream.StreamConfig) (jetstream.Stream, error) {
		return ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	})
	if err != nil {
		return nil, err
	}
	return &Processor[In, Out]{js: js, results: results, positionSubject: "state." + name + ".position",
		agg: aggregator[In, Out]{name: name, flow: flow, cfg: cfg, limit: int(js.Conn().MaxPayload()) - 4096,
			open: map[int64]map[string]window[Out]{}, changed: map[string][]byte{}}}, nil
}

// Run takes over the flow from any other Processor, and resumes at its position. It
// returns nil when ctx ends, [ErrFenced] when another Processor takes over, or the
// reason why it cannot continue. Uncommitted events are processed by the next Processor.
// Run outlives ctx only while Clean or Add run.
func (p *Processor[In, Out]) Run(ctx context.Context) error {
	if p.ran.Swap(true) {
		return ErrAlreadyRun
	}
	err := p.takeOver(ctx)
	if err == nil {
		err = p.readFeed(ctx)
	}
	if err == nil || ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("streaming: flow %s: %w", p.agg.name, err)
}

// takeOver stores the position again, and so fences off every other Processor: each of
// their commits expects the position before. It then loads the open windows.
func (p *Processor[In, Out]) takeOver(ctx context.Context) error {
	for {
		at, _, seq, err := p.readPosition(ctx)
		if err != nil {
			return err
		}
		p.agg.at, p.agg.committed, p.positionSeq = at, at.Seq, seq
		err = p.publishCommit(ctx, nil)
		if err == nil {
			return p.loadWindows(ctx)
		}
		if !errors.Is(err, ErrFenced) { // otherwise the other Processor has committed once more
			return err
		}
	}
}

// loadWindows reads the open windows, up to the position. They precede it in the
// stream, so a lagging replica that has the position has all of them.
func (p *Processor[In, Out]) loadWindows(ctx context.Context) error {
	read, stop := context.WithCancel(ctx)
	defer stop()
	var bad error
	cons := jetstream.ConsumerConfig{FilterSubject: "state." + p.agg.name + ".>", DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy}
	err := readOrdered(read, p.js, p.agg.cfg.Log, "RESULTS_"+p.agg.name, cons, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
		switch {
		case meta.Sequence.Stream >= p.positionSeq:
			stop()
		case msg.Subject() != p.positionSubject:
			bad = errors.Join(bad, p.agg.loadWindow(msg))
		}
	})
	return errors.Join(err, bad)
}

// readFeed reads the feed from the position on, and buffers events during a commit.
func (p *Processor[In, Out]) readFeed(ctx context.Context) error {
	read, stop := context.WithCancel(ctx)
	defer stop()
	events, ended := make(chan feedMsg, 4096), make(chan error, 1)
	cons := jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: p.agg.at.Seq + 1}
	go func() {
		defer close(events)
		ended <- readOrdered(read, p.js, p.agg.cfg.Log, "FEED_"+p.agg.name, cons, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
			select {
			case events <- feedMsg{msg, meta}:
			case <-read.Done():
			}
		})
	}()
	err := p.process(ctx, events)
	stop()
	return errors.Join(err, <-ended)
}

// process commits when no event is waiting, or a commit is full: so commits are large
// under load, and prompt without it.
func (p *Processor[In, Out]) process(ctx context.Context, events <-chan feedMsg) error {
	idle := time.NewTimer(0) // windows may be due before the first event
	defer idle.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-idle.C:
			err = p.advanceClock(ctx)
		case msg, ok := <-events:
			if !ok {
				return nil
			}
			err = p.agg.process(ctx, msg)
		}
		if err != nil {
			return err
		}
		if len(events) > 0 && !p.agg.isFull() {
			continue
		}
		if err := p.commit(ctx); err != nil {
			return err
		}
		idle.Reset(p.agg.cfg.Idle)
	}
}

// advanceClock moves the watermark by the server's clock when all events are processed
// and windows are open: the windows of a sender that is silent close too.
func (p *Processor[In, Out]) advanceClock(ctx context.Context) error {
	feed, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return p.js.Stream(ctx, "FEED_"+p.agg.name) })
	if err != nil && !isGone(err) {
		return nil // temporary: the next attempt follows after Idle
	}
	if err != nil {
		return err
	}
	info := feed.CachedInfo()
	if info.State.LastSeq < p.agg.at.Seq {
		return fmt.Errorf("%w: %s ends at %d, the position is %d", ErrRecreated, info.Config.Name, info.State.LastSeq, p.agg.at.Seq)
	}
	if len(p.agg.open) > 0 && (info.State.LastSeq == p.agg.at.Seq || info.State.Msgs == 0) {
		p.agg.advance(info.TimeStamp)
	}
	return nil
}
