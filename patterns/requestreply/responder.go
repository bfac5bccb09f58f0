package requestreply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// Responder is one instance of a service. It handles requests and publishes the
// replies.
type Responder struct {
	cfg   Config
	nc    *nats.Conn
	svc   micro.Service
	ctx   context.Context // of all handlers
	stop  context.CancelFunc
	slots chan struct{} // one element for each request in flight
	ran   atomic.Bool
	stats map[string]*stats // by subject
}

// NewResponder starts an instance of the service name. It handles requests from now
// on; Run waits for the end and stops it. The ctx is for this call only.
func NewResponder(ctx context.Context, nc *nats.Conn, name string, cfg Config, endpoints ...Endpoint) (*Responder, error) {
	cfg, err := cfg.normal()
	err = errors.Join(err, checkID(name))
	for _, e := range endpoints {
		err = errors.Join(err, checkSubject(e.subject))
	}
	if len(endpoints) == 0 {
		err = fmt.Errorf("%w: a Responder needs an endpoint; see Handle", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	r := &Responder{cfg: cfg, nc: nc, slots: make(chan struct{}, cfg.Concurrency), stats: map[string]*stats{}}
	r.ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, e := range endpoints {
		r.stats[e.subject] = &stats{} // complete before the first request for STATS
	}
	if err := r.start(ctx, name, endpoints); err != nil {
		r.stop()
		return nil, fmt.Errorf("requestreply: service %s: %w", name, err)
	}
	return r, nil
}

// start adds the service and its endpoints, and waits until the server has their
// subscriptions.
func (r *Responder) start(ctx context.Context, name string, endpoints []Endpoint) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	svc, err := micro.AddService(r.nc, micro.Config{
		Name: name, Version: r.cfg.Version, Description: r.cfg.Description,
		StatsHandler: func(e *micro.Endpoint) any { return r.stats[e.Subject].snapshot() },
		ErrorHandler: func(_ micro.Service, err *micro.NATSError) {
			r.cfg.Log.Warn("requestreply: service error", "subject", err.Subject, "err", err.Description)
		},
	})
	if err != nil {
		return err
	}
	r.svc = svc
	for _, e := range endpoints {
		opts := []micro.EndpointOpt{micro.WithEndpointSubject(e.subject)}
		if e.each {
			opts = append(opts, micro.WithEndpointQueueGroupDisabled())
		}
		handler := micro.HandlerFunc(func(req micro.Request) { r.receive(e, req) })
		err = errors.Join(err, svc.AddEndpoint(strings.ReplaceAll(e.subject, ".", "-"), handler, opts...))
	}
	err = errors.Join(err, r.nc.FlushWithContext(ctx), ctx.Err()) // the flush can succeed although ctx has ended
	if err != nil {
		_ = svc.Stop() // err is the cause
	}
	return err
}

// Run waits until ctx ends, unsubscribes, waits until the requests in flight have
// their replies, and returns nil. The ctx of the handlers ends after Config.Grace; Run
// waits as long again for handlers that ignore it. It may be called once.
func (r *Responder) Run(ctx context.Context) error {
	if r.ran.Swap(true) {
		return ErrAlreadyRun
	}
	defer r.stop()
	closed := r.nc.StatusChanged(nats.CLOSED)
	defer r.nc.RemoveStatusListener(closed)
	if !r.nc.IsClosed() {
		select {
		case <-ctx.Done():
		case <-closed:
		}
	}
	defer time.AfterFunc(r.cfg.Grace, r.stop).Stop()
	expired := time.After(2 * r.cfg.Grace)
	err := r.svc.Stop()
	if r.nc.IsClosed() {
		err = nats.ErrConnectionClosed
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Grace)
	defer cancel()
	_ = r.nc.FlushWithContext(flush) // receives what the server sent before; without a connection nothing more arrives
	if err = errors.Join(err, r.wait(expired)); err != nil {
		return fmt.Errorf("requestreply: stop: %w", err)
	}
	return nil
}

// wait returns when no request is in flight.
func (r *Responder) wait(expired <-chan time.Time) error {
	for range cap(r.slots) { // a slot that is taken here is free of requests
		select {
		case r.slots <- struct{}{}:
		case <-expired:
			return fmt.Errorf("a handler still runs %v after its ctx has ended", r.cfg.Grace)
		}
	}
	return nil
}
