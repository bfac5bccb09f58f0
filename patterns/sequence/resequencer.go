package sequence

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Resequencer copies the messages of sequences from an input stream, where they are in
// any order, to the output stream SEQUENCE_<name>, by number. The output stream is the
// only state that survives Run.
type Resequencer struct {
	cfg      Config
	js       jetstream.JetStream
	name     string
	output   jetstream.Stream
	consumer jetstream.Consumer
	ran      atomic.Bool

	turn   chan struct{} // holds a value while a goroutine uses what follows, which includes its calls of the server
	queues map[string]*keyQueue
	held   int // messages in all queues
}

// keyQueue holds the messages of one sequence until their turn.
type keyQueue struct {
	reorderQueue
	id      string
	stored  uint64    // the output stream's sequence of its last message; 0 if there is none
	missing time.Time // since then the next message is missing, while others are held
	decided time.Time // when Missing last returned Wait, or else missing
}

// NewResequencer returns the resequencer called name of stream. It creates a missing
// output stream or consumer. The context bounds this call only.
func NewResequencer(ctx context.Context, js jetstream.JetStream, stream, name string, cfg Config) (*Resequencer, error) {
	wantOutput, err := StreamConfig(name, cfg)
	if err = cmp.Or(err, checkID(stream)); err != nil {
		return nil, err
	}
	wantConsumer, err := ConsumerConfig(name, cfg)
	if err != nil {
		return nil, err
	}
	cfg, _ = cfg.normal() // valid: StreamConfig returned no error
	input, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return nil, fmt.Errorf("sequence: %s: stream %s: %w", name, stream, err)
	}
	output, err := ensure(ctx, streamOf(js, wantOutput.Name), wantOutput, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("sequence: %s: %w", name, err)
	}
	consumer, err := ensure(ctx, consumerOf(input, wantConsumer.Durable), wantConsumer, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("sequence: %s: %w", name, err)
	}
	return &Resequencer{cfg: cfg, js: js, name: name, output: output, consumer: consumer, turn: make(chan struct{}, 1), queues: map[string]*keyQueue{}}, nil
}

// Run publishes messages in order until ctx ends, naks those that it holds, and returns
// nil. A publish in progress has Grace to finish. Run returns an error if it cannot
// continue. It may be called once. Two resequencers with one name share the messages and
// keep the order, but each waits for what the other publishes.
func (r *Resequencer) Run(ctx context.Context) error {
	if r.ran.Swap(true) {
		return ErrAlreadyRun
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	work, cancel := withGrace(running, r.cfg.Grace)
	defer cancel()
	defer context.AfterFunc(running, func() {
		if !r.js.Conn().IsConnected() {
			cancel() // nothing can be published
		}
	})()
	wait, err := consume(running, r.js.Conn(), r.consumer, r.cfg.Log, fail, func(msg jetstream.Msg) {
		if err := r.receive(work, msg); err != nil {
			fail(err)
		}
	}, jetstream.PullMaxMessages(r.cfg.Buffer))
	if err != nil {
		return fmt.Errorf("sequence: %s: %w", r.name, err)
	}
	stopProgress := keepInProgress(r.cfg.AckWait, r.cfg.Log, r.heldMessages)
	tick := time.NewTicker(r.cfg.GapTimeout / 4)
	defer tick.Stop()
	for running.Err() == nil {
		select {
		case <-running.Done():
		case <-tick.C:
			if err := r.checkGaps(running, work); err != nil {
				fail(err)
			}
		}
	}
	wait()
	stopProgress()
	for _, msg := range r.heldMessages() {
		warnIf(r.cfg.Log, "nak", msg, msg.Nak())
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("sequence: %s: %w", r.name, context.Cause(running))
}

// receive puts a message into the queue of its sequence, and publishes what is next.
func (r *Resequencer) receive(ctx context.Context, msg jetstream.Msg) error {
	p, err := At(msg.Headers())
	if err != nil {
		r.cfg.Log.Error("sequence: terminated a message", "resequencer", r.name, "subject", msg.Subject(), "err", err)
		return msg.TermWithReason(err.Error())
	}
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	q := r.queue(p.ID)
	if replaced := q.put(p.Number, msg); !replaced {
		r.held++
	}
	if q.next == 0 {
		err = r.readPosition(ctx, q)
	} else {
		err = r.drop(q, q.next)
	}
	if err != nil {
		return err
	}
	if err := r.publishReady(ctx, q); err != nil {
		return err
	}
	return r.makeRoom(ctx)
}

// queue returns the queue of a sequence. Once there are many queues, it first removes
// the empty ones: the output stream stores their positions.
func (r *Resequencer) queue(id string) *keyQueue {
	if q := r.queues[id]; q != nil {
		return q
	}
	if len(r.queues) >= 4*r.cfg.Buffer {
		maps.DeleteFunc(r.queues, func(_ string, q *keyQueue) bool { return len(q.held) == 0 })
	}
	q := &keyQueue{id: id}
	r.queues[id] = q
	return q
}

// heldMessages returns the messages that are not acknowledged yet.
func (r *Resequencer) heldMessages() (held []jetstream.Msg) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	for _, q := range r.queues {
		for _, msg := range q.held {
			held = append(held, msg)
		}
	}
	return held
}
