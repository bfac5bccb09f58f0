package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Handlers is what an instance does when it is told to.
type Handlers struct {
	// Apply brings the instance to d, and returns nil when it is there. An error
	// that wraps ErrRefused is reported, and Apply not called again for that
	// generation; after any other, or a panic, it is called again, with backoff. It is given up,
	// by its ctx, when something newer is desired.
	Apply func(ctx context.Context, d Desired) error
	// Do carries out a command and returns its answer. If nil, commands are refused.
	Do func(ctx context.Context, c Command) (string, error)
}

// Agent drives one instance of a service to what is desired of it.
type Agent struct {
	cfg    Config
	nc     *nats.Conn
	kv     jetstream.KeyValue
	watch  jetstream.KeyWatcher
	stop   context.CancelFunc // of its ctx
	tells  []*nats.Subscription
	inbox  chan *nats.Msg
	report string
	ran    atomic.Bool

	all, own *Desired // desired of the whole service, and of this instance alone
	taken    uint64   // generation of what was last taken on

	news chan struct{} // one, when the report is to be written

	mu sync.Mutex // guards what follows
	is Report
}

// NewAgent makes the agent of an instance. Once it returns, no change and no
// command is missed. The context bounds this call only.
func NewAgent(ctx context.Context, js jetstream.JetStream, service, instance string, cfg Config) (*Agent, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	whole, err := keyOf(desired, service, "")
	if err != nil {
		return nil, err
	}
	if err := checkID(instance); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	kv, err := bucket(ctx, js, cfg)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, nc: js.Conn(), kv: kv, inbox: make(chan *nats.Msg, 256), report: observed + service + "." + instance, news: make(chan struct{}, 1),
		is: Report{Service: service, Instance: instance},
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx)) // the watcher lives until Run ends, and its ctx with it
	a.stop = stop
	a.watch, err = kv.WatchFiltered(watching, []string{whole, whole + "." + instance})
	for _, subject := range []string{tellOne(cfg, service, instance), tellGroup(cfg, service), tellAll(cfg)} {
		if err == nil {
			var sub *nats.Subscription
			if sub, err = a.nc.ChanSubscribe(subject, a.inbox); err == nil {
				a.tells = append(a.tells, sub)
			}
		}
	}
	if err == nil {
		err = errors.Join(a.nc.FlushWithContext(ctx), ctx.Err()) // a flush may win a race against an ended ctx
	}
	if err != nil {
		a.close()
		return nil, fmt.Errorf("controlplane: agent %s of %s: %w", instance, service, err)
	}
	return a, nil
}

func (a *Agent) close() {
	for _, sub := range a.tells {
		_ = sub.Unsubscribe() // fails only when the connection is gone
	}
	if a.watch != nil {
		_ = a.watch.Stop() // likewise
	}
	a.stop()
}

// Run keeps the instance at what is desired of it, and carries out commands, until
// ctx ends; it then waits for what is being done, up to Config.Grace, and returns
// nil. It may be called once.
func (a *Agent) Run(ctx context.Context, h Handlers) error {
	if a.ran.Swap(true) {
		return ErrTwice
	}
	defer a.close()
	if h.Apply == nil {
		return fmt.Errorf("%w: Run needs an Apply", ErrConfig)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(a.cfg.Grace, cancel) })()
	reporting, reported := context.WithCancel(work)
	var doing, telling sync.WaitGroup
	telling.Go(func() { a.write(reporting) })
	defer telling.Wait() // last: what is done is told
	defer reported()
	defer doing.Wait()
	doing.Go(func() { a.obey(ctx, work, h.Do) })

	closed := a.nc.StatusChanged(nats.CLOSED)
	defer a.nc.RemoveStatusListener(closed)
	applying, abandon := (chan struct{})(nil), context.CancelFunc(func() {})
	var waits *Desired // until what is being applied has been given up
	for !a.nc.IsClosed() {
		select {
		case <-ctx.Done():
			return nil
		case <-closed:
			continue
		case <-applying:
			applying = nil
		case entry, ok := <-a.watch.Updates():
			if !ok {
				return errors.New("controlplane: the watch of the desired state has ended")
			}
			if d, changed := a.effective(entry); changed {
				abandon()
				waits = &d
			}
		}
		if waits == nil || applying != nil {
			continue
		}
		d, done := *waits, make(chan struct{})
		one, stop := context.WithCancel(work)
		waits, applying, abandon = nil, done, stop
		doing.Go(func() { defer close(done); a.converge(ctx, one, d, h.Apply) })
	}
	cancel()
	return fmt.Errorf("controlplane: agent: %w", nats.ErrConnectionClosed)
}

// effective takes a change of a key and returns what is now desired of this
// instance, if that is another than it was: its own, or else the service's.
func (a *Agent) effective(entry jetstream.KeyValueEntry) (Desired, bool) {
	if entry == nil {
		return Desired{}, false // all that was there at the start has come
	}
	which := &a.all
	if entry.Key() == desired+a.report[len(observed):] {
		which = &a.own
	}
	if entry.Operation() != jetstream.KeyValuePut {
		*which = nil
	} else {
		d := Desired{}
		err := json.Unmarshal(entry.Value(), &d)
		if d.Generation = entry.Revision(); err == nil {
			err = d.check()
		}
		if err != nil {
			a.tell(func(r *Report) { r.Generation, r.Problem = entry.Revision(), fmt.Sprintf("not understood: %v", err) })
			return d, false
		}
		*which = &d
	}
	d := a.all
	if a.own != nil {
		d = a.own
	}
	if d == nil || d.Generation == a.taken {
		return Desired{}, false // nothing is desired, or it was delivered again
	}
	a.taken = d.Generation
	return *d, true
}
