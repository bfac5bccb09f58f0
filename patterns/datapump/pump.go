package datapump

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrRecreated reports that the position in the store is past the last message of the
// stream: the stream was recreated, or one of the two was restored.
var ErrRecreated = errors.New("datapump: the stream was recreated")

// State is the progress of a Pump. It counts from NewPump on.
type State struct {
	Position uint64 // sequence of the last message that was applied
	Rows     uint64 // written to the store
	Rejected uint64 // stored in the stream of rejected rows
	Missed   uint64 // removed from the stream before they were applied
	Paused   error  // why nothing is written; nil while the pump works
	Attempts int    // that failed in a row
}

// Pump writes the rows of a stream to a store, in order.
type Pump struct {
	js       jetstream.JetStream
	name, id string
	store    Store
	cfg      Config
	tables   map[string]*Table // by subject
	ran      atomic.Bool

	mu    sync.Mutex
	state State
}

// NewPump returns a pump from the stream of that name to the tables of a store. It
// finds or creates the streams; it does not call the store. The store keeps the
// position of the pump under its id. Of two pumps with one id, one writes at a time.
func NewPump(ctx context.Context, js jetstream.JetStream, name, id string, store Store, tables []Table, cfg Config) (*Pump, error) {
	cfg, err := cfg.normal()
	if err := errors.Join(err, checkID(name), checkID(id)); err != nil {
		return nil, err
	}
	if s, ok := store.(*sqlStore); store == nil || ok && s.db == nil || len(tables) == 0 {
		return nil, fmt.Errorf("%w: store is %v, with %d tables; use a store with a database, and at least one table", ErrConfig, store, len(tables))
	}
	p := &Pump{js: js, name: name, id: id, store: store, cfg: cfg, tables: map[string]*Table{}}
	for _, t := range tables {
		if err := t.check(); err != nil {
			return nil, err
		}
		p.tables[name+".row."+t.Name] = &t
	}
	return p, eachStream(name, cfg, func(want jetstream.StreamConfig) error {
		_, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
		return err
	})
}

// State returns the progress of the pump.
func (p *Pump) State() State { return p.update(func(*State) {}) }

func (p *Pump) update(change func(*State)) State {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.state)
	return p.state
}

// Run writes rows until ctx ends, then finishes the current batch and returns nil.
// While the store fails, Run retries with backoff. It returns an error if the
// connection is closed, or the stream is deleted or recreated. It returns at most
// Config.Grace after ctx ends, if the store respects its context.
func (p *Pump) Run(ctx context.Context) error {
	if p.ran.Swap(true) {
		return ErrAlreadyRun
	}
	work, stop := withGrace(ctx, p.cfg.Grace)
	defer stop()
	for ctx.Err() == nil {
		err := p.session(ctx, work)
		if ctx.Err() != nil {
			break
		}
		if p.js.Conn().IsClosed() {
			err = nats.ErrConnectionClosed
		}
		if errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, ErrRecreated) {
			return fmt.Errorf("datapump: pump %s: %w", p.id, err)
		}
		attempts := p.update(func(s *State) { s.Paused, s.Attempts = err, s.Attempts+1 }).Attempts
		wait := min(50*time.Millisecond<<min(attempts, 20), p.cfg.MaxBackoff)
		p.cfg.Log.Warn("datapump: paused", "pump", p.id, "wait", wait, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	return nil
}

// session applies batches until an error. The next session starts at the position
// that is in the store.
func (p *Pump) session(ctx, work context.Context) error {
	reconnected := p.js.Conn().StatusChanged(nats.CONNECTED)
	defer p.js.Conn().RemoveStatusListener(reconnected)
	cons, rejected, err := p.open(ctx)
	if err != nil {
		return err
	}
	session, end := context.WithCancelCause(ctx)
	defer end(nil)
	items, next := make(chan *item, p.cfg.Batch), uint64(1)
	consume, err := cons.Consume(func(msg jetstream.Msg) {
		meta, err := msg.Metadata()
		if err == nil && meta.Sequence.Consumer != next {
			err = fmt.Errorf("messages were lost after delivery %d", next-1)
		}
		if err != nil {
			end(err)
			return
		}
		next++
		select {
		case items <- p.newItem(meta.Sequence.Stream, msg, rejected[meta.Sequence.Stream]):
		case <-session.Done():
		}
	}, jetstream.PullMaxMessages(p.cfg.Batch), jetstream.PullExpiry(10*time.Second), jetstream.PullHeartbeat(time.Second),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { end(err) }))
	if err != nil {
		return err
	}
	defer func() {
		end(nil)
		closed := consume.Closed() // called after Stop, it would not wait for the handler
		consume.Stop()
		<-closed
	}()
	for session.Err() == nil {
		select {
		case <-session.Done():
		case <-reconnected: // lost messages show only when a later one arrives
			return errors.New("the client reconnected")
		case first := <-items:
			batch := []*item{first}
			for len(batch) < p.cfg.Batch && len(items) > 0 {
				batch = append(batch, <-items)
			}
			if err := p.apply(work, batch); err != nil {
				return err
			}
		}
	}
	return context.Cause(session)
}

// open returns a consumer of the messages after the position in the store, and which
// of them were rejected.
func (p *Pump) open(ctx context.Context) (jetstream.Consumer, map[uint64]bool, error) {
	attempt, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	position, err := p.store.Position(attempt, p.id)
	if err != nil {
		return nil, nil, err
	}
	rejected, err := p.rejectedAfter(ctx, position)
	if err != nil {
		return nil, nil, err
	}
	s, err := callAPI(ctx, streamOf(p.js, strings.ToUpper(p.name)).find)
	if err != nil {
		return nil, nil, err
	}
	if last := s.CachedInfo().State.LastSeq; last < position {
		return nil, nil, fmt.Errorf("%w: the position %d is past the last sequence %d; to start at the first row, delete the position of pump %s from the store, and purge %s from the stream of rejected rows",
			ErrRecreated, position, last, p.id, p.rejectedSubject("*"))
	}
	cons, err := callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return s.CreateConsumer(ctx, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: position + 1, AckPolicy: jetstream.AckNonePolicy,
			MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
		})
	})
	if err != nil {
		return nil, nil, err
	}
	p.update(func(s *State) {
		s.Position = position
		if cons.CachedInfo().NumPending == 0 { // otherwise the first Apply shows whether the store works
			s.Paused, s.Attempts = nil, 0
		}
	})
	return cons, rejected, nil
}
