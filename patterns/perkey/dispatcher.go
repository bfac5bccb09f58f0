package perkey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Dispatcher reads a topic for a listener and hands its events to workers: those of
// one key one after the other, those of different keys at the same time.
type Dispatcher struct {
	cfg     Config
	js      jetstream.JetStream
	name    string
	stream  string
	readers []*reader
	ran     atomic.Bool
	ledger  Ledger
	room    chan struct{} // one for each message held
	ready   chan *line    // lines that want a worker

	mu      sync.Mutex // guards what follows, and the lines' own; never held while waiting
	lines   map[string]*line
	resting int // events held on lines that are not busy
}

// reader is a consumer, and the pin by which the server knows this process to be the
// one that reads.
type reader struct {
	jetstream.Consumer
	pin string
}

// New makes a dispatcher of topic for listener, and creates what it needs. The
// context bounds this call only.
func New(ctx context.Context, js jetstream.JetStream, topic, listener string, cfg Config) (*Dispatcher, error) {
	cfg, err := cfg.normal()
	for _, id := range []string{topic, listener} {
		if err == nil {
			err = checkID(id)
		}
	}
	if err != nil {
		return nil, err
	}
	d := &Dispatcher{cfg: cfg, js: js, name: listener + " of " + topic, stream: "PERKEY_" + topic, room: make(chan struct{}, cfg.Room), ready: make(chan *line, cfg.Room), lines: map[string]*line{}}
	if d.readers, err = setup(ctx, js, topic, listener, cfg); err != nil {
		return nil, fmt.Errorf("perkey: %s: %w", d.name, err)
	}
	return d, nil
}

// Run has events applied until ctx ends, puts back what is held, and returns nil;
// before that, it returns only if it cannot go on. It may be called once. Of several
// processes that read a partition one is pinned, and the others stand by.
func (d *Dispatcher) Run(ctx context.Context, ledger Ledger) error {
	if ledger == nil {
		return fmt.Errorf("%w: the ledger is nil", ErrConfig)
	}
	if d.ran.Swap(true) {
		return ErrTwice
	}
	d.ledger = ledger
	apply, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	leave, gone := make(chan struct{}), make(chan error, len(d.readers))
	var workers sync.WaitGroup
	for range d.cfg.Workers {
		workers.Go(func() {
			for {
				select {
				case <-leave:
					return
				case l := <-d.ready:
					select {
					case <-leave: // which of two ready cases is chosen is chance
						return
					default:
						d.work(apply, l)
					}
				}
			}
		})
	}
	var reading []jetstream.ConsumeContext
	var err error
	for _, r := range d.readers {
		c, fail := d.read(apply, r, leave, gone)
		if err = fail; err != nil {
			break
		}
		reading = append(reading, c)
	}
	alive := time.NewTicker(d.cfg.Takeover / 3)
	defer alive.Stop()
	for err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case err = <-gone:
		case <-alive.C:
			d.hold()
			if d.js.Conn().IsClosed() {
				err = nats.ErrConnectionClosed
			}
		}
	}
	close(leave)
	late := time.AfterFunc(d.cfg.Grace, cancel)
	for _, c := range reading {
		if d.js.Conn().IsConnected() {
			c.Drain() // puts back what it has fetched ahead
		} else {
			c.Stop() // a drain would wait for the server
		}
	}
	for _, c := range reading {
		<-c.Closed()
	}
	workers.Wait()
	late.Stop()
	d.handBack(context.WithoutCancel(ctx))
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("perkey: %s: %w", d.name, err)
	}
	return nil
}

// read takes what comes from a partition. It asks more often than Takeover: who does
// not ask for so long, loses the pin.
func (d *Dispatcher) read(ctx context.Context, r *reader, leave chan struct{}, gone chan error) (jetstream.ConsumeContext, error) {
	return r.Consume(func(m jetstream.Msg) {
		r.pin = m.Headers().Get("Nats-Pin-Id")
		select {
		case d.room <- struct{}{}:
			d.take(m)
		case <-leave:
			_ = m.Nak() // else it comes again after Takeover
		}
	}, jetstream.PullPriorityGroup(group), jetstream.PullExpiry(d.cfg.Takeover/4), jetstream.PullMaxMessages(min(d.cfg.Room, 500)),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
			d.cfg.Log.Debug("perkey: reading is interrupted", "dispatcher", d.name, "err", err)
			if !errors.Is(err, jetstream.ErrConsumerDeleted) && !errors.Is(err, jetstream.ErrBadRequest) { // these end it; if it is gone otherwise, we are not told
				ctx, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				_, err = r.Info(ctx)
				if !errors.Is(err, jetstream.ErrConsumerNotFound) && !errors.Is(err, jetstream.ErrStreamNotFound) {
					return
				}
			}
			select {
			case gone <- err:
			default: // it is known
			}
		}))
}

// hold tells the server that what is held is not lost.
func (d *Dispatcher) hold() {
	var long []jetstream.Msg
	d.mu.Lock()
	for _, l := range d.lines {
		for _, h := range l.held {
			if h.msg != nil && time.Since(h.since) >= d.cfg.Takeover/4 {
				long = append(long, h.msg)
			}
		}
	}
	d.mu.Unlock()
	for _, m := range long {
		_ = m.InProgress() // else it comes again, and is known
	}
}

// handBack lets others go on at once: with what is held, and with the partitions.
func (d *Dispatcher) handBack(ctx context.Context) {
	d.mu.Lock()
	lines := d.lines
	d.lines = nil // what a timer wakes now finds it is over
	d.mu.Unlock()
	for _, l := range lines {
		for _, h := range l.held {
			if h.msg != nil {
				_ = h.msg.Nak()
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for _, r := range d.readers {
		if !d.js.Conn().IsConnected() {
			return
		}
		info, err := r.Info(ctx)
		if err != nil || len(info.PriorityGroups) == 0 || r.pin == "" || info.PriorityGroups[0].PinnedClientID != r.pin {
			continue
		}
		if s, err := d.js.Stream(ctx, d.stream); err == nil {
			_ = s.UnpinConsumer(ctx, info.Name, group) // or the next waits for Takeover
		}
	}
}
