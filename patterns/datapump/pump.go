package datapump

import (
	"cmp"
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

// ErrAhead reports that a store has applied more than there is in the stream, as
// when either was replaced or restored: what comes next would be taken for applied.
var ErrAhead = errors.New("datapump: the store is ahead of the stream")

// State tells how a Pump is doing.
type State struct {
	Applied  uint64 // the last sequence that has taken effect
	Rows     uint64 // taken by the store, since the Pump was made
	Diverted uint64 // rows, likewise
	Missed   uint64 // removed from the stream before they could be applied, likewise
	Paused   error  // why nothing is written; nil while it works
	Tries    int    // that failed in a row
}

// Pump writes the rows of a stream into a store, in order, each once.
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

// NewPump returns a pump from the stream of that name into store, once the streams
// exist. It need not reach the store. The store remembers how far the pump called id
// has come; while two of one id run, one waits for the other. The context bounds this call only.
func NewPump(ctx context.Context, js jetstream.JetStream, name, id string, store Store, cfg Config) (*Pump, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = errors.Join(checkID(name), checkID(id))
	}
	if err == nil && store == nil {
		err = fmt.Errorf("%w: store is nil", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	most := store.Limit()
	if most > 0 && cfg.Batch > most {
		return nil, fmt.Errorf("%w: Batch is %d; the store takes %d", ErrConfig, cfg.Batch, most)
	}
	cfg.Batch = cmp.Or(cfg.Batch, most, 1000)
	p := &Pump{js: js, name: name, id: id, store: store, cfg: cfg, tables: map[string]*Table{}}
	tables := store.Schema().Tables
	for i := range tables {
		p.tables[name+".row."+tables[i].Name] = &tables[i]
	}
	return p, edge(setup(ctx, js, name, cfg), "pump "+id)
}

// State may be called at any time.
func (p *Pump) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// Run pumps until ctx ends, then finishes the transaction in hand and returns nil.
// While the store is down it pauses and tries again, less and less often. It returns
// an error when waiting is of no use. It may be called once.
func (p *Pump) Run(ctx context.Context) error {
	if p.ran.Swap(true) {
		return ErrTwice
	}
	for ctx.Err() == nil {
		err := p.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if p.js.Conn().IsClosed() || errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, ErrAhead) {
			return edge(err, "pump "+p.id)
		}
		select {
		case <-ctx.Done():
		case <-time.After(p.pause(err)):
		}
	}
	return nil
}

func (p *Pump) pause(err error) time.Duration {
	p.mu.Lock()
	p.state.Paused = err
	p.state.Tries++
	wait := min(50*time.Millisecond<<min(p.state.Tries, 20), p.cfg.Pause)
	p.mu.Unlock()
	p.cfg.Log.Warn("datapump: paused", "pump", p.id, "wait", wait, "err", err)
	return wait
}

func (p *Pump) resume(change func(*State)) {
	p.mu.Lock()
	was := p.state.Paused
	p.state.Paused, p.state.Tries = nil, 0
	change(&p.state)
	now := p.state
	p.mu.Unlock()
	if was != nil {
		p.cfg.Log.Info("datapump: goes on", "pump", p.id, "applied", now.Applied)
	}
}

// session pumps until something goes wrong. Whatever that was, the next session
// begins where the store says.
func (p *Pump) session(ctx context.Context) error {
	back := p.js.Conn().StatusChanged(nats.CONNECTED)
	defer p.js.Conn().RemoveStatusListener(back)
	cons, diverted, err := p.open(ctx)
	if err != nil {
		return err
	}
	session, end := context.WithCancelCause(ctx)
	defer end(nil)
	items, next := make(chan *item, p.cfg.Batch), uint64(1)
	consume, err := cons.Consume(func(msg jetstream.Msg) {
		meta, err := msg.Metadata()
		if err == nil && meta.Sequence.Consumer != next {
			err = fmt.Errorf("rows were lost on the way, after %d", next-1)
		}
		if err != nil {
			end(err)
			return
		}
		next++
		select {
		case items <- p.decode(meta.Sequence.Stream, msg, diverted):
		case <-session.Done():
		}
	}, jetstream.PullMaxMessages(p.cfg.Batch), jetstream.PullExpiry(10*time.Second), jetstream.PullHeartbeat(time.Second),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { end(err) }))
	if err != nil {
		return err
	}
	defer func() {
		end(nil)
		closed := consume.Closed() // asked for later, it would not wait for the handler
		consume.Stop()
		<-closed
	}()
	for session.Err() == nil {
		select {
		case <-session.Done():
		case <-back: // if the last rows were swallowed, no gap would show
			return errors.New("the connection was cut")
		case first := <-items:
			batch := []*item{first}
			for len(batch) < p.cfg.Batch && len(items) > 0 {
				batch = append(batch, <-items)
			}
			if err := p.apply(context.WithoutCancel(ctx), batch); err != nil {
				return err
			}
		}
	}
	return context.Cause(session)
}

// open asks the store how far it is, and returns a consumer of what comes next, and which
// of that has been diverted already.
func (p *Pump) open(ctx context.Context) (jetstream.Consumer, map[uint64]bool, error) {
	try, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	defer cancel()
	at, err := p.store.Applied(try, p.id)
	if err != nil {
		return nil, nil, err
	}
	diverted, err := p.divertedAfter(ctx, at)
	if err != nil {
		return nil, nil, err
	}
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return p.js.Stream(ctx, strings.ToUpper(p.name)) })
	if err != nil {
		return nil, nil, err
	}
	if last := s.CachedInfo().State.LastSeq; last < at {
		return nil, nil, fmt.Errorf("%w: at %d of %d; if the stream was replaced, forget the pump's row in the store", ErrAhead, at, last)
	}
	cons, err := callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return s.CreateConsumer(ctx, jetstream.ConsumerConfig{
			DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: at + 1, AckPolicy: jetstream.AckNonePolicy,
			MemoryStorage: true, Replicas: 1, InactiveThreshold: 30 * time.Second,
		})
	})
	if err == nil && cons.CachedInfo().NumPending == 0 { // otherwise the first Apply shows whether the store works
		p.resume(func(s *State) { s.Applied = at })
	}
	p.mu.Lock()
	p.state.Applied = at
	p.mu.Unlock()
	return cons, diverted, err
}
