package controlplane

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Agent brings one instance of a service to its desired state, and reports its actual
// state.
type Agent struct {
	cfg       Config
	nc        *nats.Conn
	kv        jetstream.KeyValue
	watch     jetstream.KeyWatcher
	stop      func() // of the watch
	ownKey    string // of the desired state of this instance alone
	reportKey string
	ran       atomic.Bool

	service, own *Desired // the latest ones
	complete     bool     // all keys at the start were received
	generation   uint64   // that was last passed to reconcile

	applying chan struct{} // holds an element while a handler runs
	changed  chan struct{} // holds an element when the report must be written
	mu       sync.Mutex
	report   Report
}

// NewAgent returns the agent of an instance. It watches the desired state from now on.
// The ctx is for this call only.
func NewAgent(ctx context.Context, js jetstream.JetStream, service, instance string, cfg Config) (*Agent, error) {
	cfg, err := cfg.normal()
	if err := cmp.Or(err, checkID(service), checkID(instance)); err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, nc: js.Conn(), applying: make(chan struct{}, 1), changed: make(chan struct{}, 1), report: Report{Service: service, Instance: instance},
		ownKey: desiredPrefix + service + "." + instance, reportKey: actualPrefix + service + "." + instance,
	}
	if err := a.start(ctx, js, desiredPrefix+service); err != nil {
		return nil, fmt.Errorf("controlplane: agent %s of %s: %w", instance, service, err)
	}
	return a, nil
}

func (a *Agent) start(ctx context.Context, js jetstream.JetStream, serviceKey string) error {
	kv, err := openBucket(ctx, js, a.cfg)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	setup, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	unhook := context.AfterFunc(setup, stop)
	watch, err := kv.WatchFiltered(watching, []string{serviceKey, a.ownKey})
	if !unhook() || err != nil {
		stop()
		return cmp.Or(setup.Err(), err)
	}
	a.kv, a.watch = kv, watch
	closed := a.nc.StatusChanged(nats.CLOSED)
	a.stop = func() { stop(); a.nc.RemoveStatusListener(closed) }
	go func() { // an agent that is never Run holds nothing when its connection is closed
		select {
		case <-closed:
			stop()
		case <-watching.Done():
		}
	}()
	return nil
}

func openBucket(ctx context.Context, js jetstream.JetStream, cfg Config) (jetstream.KeyValue, error) {
	want, _ := BucketConfig(cfg) // cfg is checked
	return ensure(ctx, bucketOf(js, want.Bucket), want, cfg.Bind)
}

// Handler brings the instance to d and returns nil when d is reached. After an error or
// a panic it is called again, with backoff, until a newer state is desired. An error
// that wraps [ErrRefused] is not retried. Its ctx ends when a newer state is desired.
type Handler func(ctx context.Context, d Desired) error

// Run calls apply for each desired state, one at a time, until ctx ends. Then it waits
// up to Config.Grace for apply, writes the last report and returns nil. It may be called
// once.
func (a *Agent) Run(ctx context.Context, apply Handler) error {
	if a.ran.Swap(true) {
		return ErrAlreadyRun
	}
	defer a.stop()
	if apply == nil {
		return fmt.Errorf("%w: Run needs a Handler", ErrConfig)
	}
	work, cancel := withGrace(ctx, a.cfg.Grace)
	defer cancel()
	reporting, stopReports := context.WithCancel(work)
	var handlers, reports sync.WaitGroup
	reports.Go(func() { a.writeReports(reporting) })
	defer reports.Wait() // the last report is written after the last handler
	defer stopReports()
	defer handlers.Wait()
	abandon := context.CancelFunc(func() {})
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, ok := <-a.watch.Updates():
			if !ok {
				cancel()
				return fmt.Errorf("controlplane: agent: the watch has ended: %w", nats.ErrConnectionClosed)
			}
			d, changed := a.receive(entry)
			if !changed {
				continue
			}
			abandon()
			attempt, stop := context.WithCancel(work)
			abandon = stop
			handlers.Go(func() { a.reconcile(ctx, attempt, d, apply) })
		}
	}
}

// receive stores a change of a key. It returns the desired state of this instance, if
// that has changed: its own, or else that of the service.
func (a *Agent) receive(entry jetstream.KeyValueEntry) (d Desired, changed bool) {
	switch {
	case entry == nil:
		a.complete = true
	case !a.store(entry):
		return Desired{}, false
	}
	latest := cmp.Or(a.own, a.service)
	if !a.complete || latest == nil || latest.Generation == a.generation {
		return Desired{}, false
	}
	a.generation = latest.Generation
	return *latest, true
}

// store reports whether the entry is valid.
func (a *Agent) store(entry jetstream.KeyValueEntry) bool {
	target := &a.service
	if entry.Key() == a.ownKey {
		target = &a.own
	}
	if entry.Operation() != jetstream.KeyValuePut {
		*target = nil
		return true
	}
	d := Desired{}
	if err := cmp.Or(json.Unmarshal(entry.Value(), &d), d.check()); err != nil {
		a.updateReport(func(r *Report) {
			r.Generation, r.Problem = entry.Revision(), fmt.Sprintf("key %s cannot be decoded: %v", entry.Key(), err)
		})
		return false
	}
	d.Generation = entry.Revision()
	*target = &d
	return true
}
