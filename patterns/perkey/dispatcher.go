package perkey

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Dispatcher reads a topic for a service and applies its events: those of one key one
// after the other, those of different keys at the same time.
type Dispatcher struct {
	cfg        Config
	js         jetstream.JetStream
	name       string // in log lines and errors
	stream     jetstream.Stream
	partitions []*partition
	ran        atomic.Bool
	ledger     Ledger
	slots      chan struct{}  // one for each message held
	ready      chan *keyQueue // for the next free worker

	mu     sync.Mutex // guards what follows and each keyQueue; not held during a call
	queues map[string]*keyQueue
	idle   int // messages held in queues that are not active
}

// partition is a consumer with the pin that the server assigned to this process.
type partition struct {
	jetstream.Consumer
	pin string
}

// NewDispatcher returns a dispatcher of topic for service. It creates a missing stream
// or consumer. The context bounds this call only.
func NewDispatcher(ctx context.Context, js jetstream.JetStream, topic, service string, cfg Config) (*Dispatcher, error) {
	want, err := StreamConfig(topic, cfg)
	if err = cmp.Or(err, checkID(service)); err != nil {
		return nil, err
	}
	cfg, _ = cfg.normal() // valid: StreamConfig returned no error
	d := &Dispatcher{
		cfg: cfg, js: js, name: service + " of " + topic,
		slots: make(chan struct{}, cfg.Buffer), ready: make(chan *keyQueue, cfg.Buffer), queues: map[string]*keyQueue{},
	}
	d.stream, err = ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("perkey: %s: %w", d.name, err)
	}
	for _, p := range cfg.Assigned {
		want, err := ConsumerConfig(topic, service, p, cfg)
		if err != nil {
			return nil, err
		}
		cons, err := ensure(ctx, consumerOf(d.stream, want.Durable), want, cfg.Bind)
		if err != nil {
			return nil, fmt.Errorf("perkey: %s: %w", d.name, err)
		}
		d.partitions = append(d.partitions, &partition{Consumer: cons})
	}
	return d, nil
}

// Run applies events until ctx ends, naks those that it holds, and returns nil.
// Running calls of Apply have Grace to return. Run returns an error if it cannot
// continue. It may be called once. Of the processes that read a partition one is
// pinned, and the others are standbys.
func (d *Dispatcher) Run(ctx context.Context, ledger Ledger) error {
	if ledger == nil {
		return fmt.Errorf("%w: ledger is nil", ErrConfig)
	}
	if d.ran.Swap(true) {
		return ErrAlreadyRun
	}
	d.ledger = ledger
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	stopProgress := keepInProgress(d.cfg.Takeover, d.cfg.Log, d.heldMessages)
	work, cancel := withGrace(running, d.cfg.Grace, stopProgress) // an Apply that ignores its context keeps no event
	defer cancel()
	var all sync.WaitGroup
	for range d.cfg.Concurrency {
		all.Go(func() { d.runWorker(running, work) })
	}
	for _, p := range d.partitions {
		wait, err := d.readPartition(running, p, fail)
		if err != nil {
			fail(err)
			break
		}
		all.Go(wait)
	}
	all.Wait()
	stopProgress()
	d.release(context.WithoutCancel(ctx))
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("perkey: %s: %w", d.name, context.Cause(running))
}

// readPartition receives the events of p. The server unpins a client that sends no pull request
// for Takeover, so each of them expires earlier.
func (d *Dispatcher) readPartition(running context.Context, p *partition, fail func(error)) (wait func(), err error) {
	return consume(running, d.js.Conn(), p, d.cfg.Log, fail, func(msg jetstream.Msg) {
		p.pin = msg.Headers().Get("Nats-Pin-Id")
		select {
		case d.slots <- struct{}{}:
			d.receive(msg)
		case <-running.Done():
			warnIf(d.cfg.Log, "nak", msg, msg.Nak())
		}
	}, jetstream.PullPriorityGroup(group), jetstream.PullExpiry(d.cfg.Takeover/4), jetstream.PullMaxMessages(min(d.cfg.Buffer, 500)))
}

// runWorker processes ready queues until running ends.
func (d *Dispatcher) runWorker(running, work context.Context) {
	for running.Err() == nil {
		select {
		case <-running.Done():
		case q := <-d.ready:
			d.process(work, q)
		}
	}
}

// heldMessages returns the messages that are not acknowledged yet.
func (d *Dispatcher) heldMessages() (held []jetstream.Msg) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, q := range d.queues {
		for _, msg := range q.held {
			held = append(held, msg)
		}
	}
	return held
}

// release makes the held messages and the partitions available to other processes at
// once, instead of after Takeover.
func (d *Dispatcher) release(ctx context.Context) {
	for _, msg := range d.heldMessages() {
		warnIf(d.cfg.Log, "nak", msg, msg.Nak())
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, p := range d.partitions {
		if p.pin == "" || !d.js.Conn().IsConnected() {
			continue
		}
		info, err := p.Info(ctx)
		if err != nil || len(info.PriorityGroups) == 0 || info.PriorityGroups[0].PinnedClientID != p.pin {
			continue
		}
		if err := d.stream.UnpinConsumer(ctx, info.Name, group); err != nil {
			d.cfg.Log.Warn("perkey: could not unpin; a standby waits for Takeover", "dispatcher", d.name, "consumer", info.Name, "err", err)
		}
	}
}
