package requestreply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// ErrTwice reports that Run was called again.
var ErrTwice = errors.New("requestreply: Run was called twice; make a new Responder")

// Responder answers requests, as one instance of a service.
type Responder struct {
	cfg     Config
	nc      *nats.Conn
	svc     micro.Service
	ctx     context.Context // of all handlers; ended when Grace is over
	kill    context.CancelFunc
	slots   chan struct{} // one for each request being handled
	idle    chan struct{} // one for each worker that waits for a job
	jobs    chan func()   // to an idle worker
	workers sync.WaitGroup
	ran     atomic.Bool
	stats   map[string]*stats
}

// NewResponder makes the service called name answer on endpoints. It answers from
// now on; Run is how to wait and to stop. The context bounds this call only.
func NewResponder(ctx context.Context, nc *nats.Conn, name string, cfg Config, endpoints ...Endpoint) (*Responder, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	if err == nil && len(endpoints) == 0 {
		err = fmt.Errorf("%w: a Responder needs an endpoint", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r := &Responder{cfg: cfg, nc: nc, slots: make(chan struct{}, cfg.Limit), idle: make(chan struct{}, 16), jobs: make(chan func()), stats: map[string]*stats{}}
	r.ctx, r.kill = context.WithCancel(context.WithoutCancel(ctx))
	for _, e := range endpoints {
		r.stats[e.subject] = &stats{} // all of them before the first request for STATS can come
	}
	r.svc, err = micro.AddService(nc, micro.Config{
		Name: name, Version: cfg.Version, Description: cfg.Description,
		StatsHandler: func(e *micro.Endpoint) any { return r.stats[e.Subject].snapshot() },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			cfg.Log.Warn("responder", "subject", err.Subject, "err", err.Description)
		},
	})
	for i := 0; err == nil && i < len(endpoints); i++ {
		err = r.add(endpoints[i])
	}
	if err == nil {
		err = errors.Join(nc.FlushWithContext(ctx), ctx.Err()) // a flush may win a race against an ended ctx
	}
	if err != nil {
		r.kill()
		if r.svc != nil {
			_ = r.svc.Stop() // the first error is the one to tell
		}
		return nil, fmt.Errorf("requestreply: service %s: %w", name, err)
	}
	return r, nil
}

func (r *Responder) add(e Endpoint) error {
	if err := checkSubject(e.subject); err != nil {
		return err
	}
	if e.answer == nil {
		return fmt.Errorf("%w: an endpoint needs a handler", ErrConfig)
	}
	opts := []micro.EndpointOpt{micro.WithEndpointSubject(e.subject)}
	if e.each {
		opts = append(opts, micro.WithEndpointQueueGroupDisabled())
	}
	return r.svc.AddEndpoint(strings.ReplaceAll(e.subject, ".", "-"), micro.HandlerFunc(func(req micro.Request) { r.take(e, req) }), opts...)
}

// Run waits until ctx ends, lets no more requests in, waits until those begun are
// answered, and returns nil. After Config.Grace their ctx ends too. It may be
// called once.
func (r *Responder) Run(ctx context.Context) error {
	if r.ran.Swap(true) {
		return ErrTwice
	}
	defer r.kill()
	closed := r.nc.StatusChanged(nats.CLOSED)
	defer r.nc.RemoveStatusListener(closed)
	if !r.nc.IsClosed() {
		select {
		case <-ctx.Done():
		case <-closed:
		}
	}
	hurry := time.AfterFunc(r.cfg.Grace, r.kill)
	defer hurry.Stop()
	var err error
	if r.nc.IsClosed() {
		err = fmt.Errorf("requestreply: respond: %w", nats.ErrConnectionClosed)
	}
	stopErr := r.svc.Stop()
	if err == nil && stopErr != nil && !errors.Is(stopErr, nats.ErrConnectionClosed) {
		err = fmt.Errorf("requestreply: stop: %w", stopErr)
	}
	round, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Grace)
	defer cancel()
	_ = r.nc.FlushWithContext(round) // brings what was on the way; if it cannot, nothing more comes
	deaf := time.NewTimer(2 * r.cfg.Grace)
	defer deaf.Stop()
	for range cap(r.slots) { // when all slots are taken here, nothing is being handled
		select {
		case r.slots <- struct{}{}:
		case <-deaf.C:
			return errors.Join(err, fmt.Errorf("requestreply: a handler still runs %v after its ctx ended", r.cfg.Grace))
		}
	}
	r.kill()
	r.workers.Wait()
	return err
}
