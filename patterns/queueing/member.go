package queueing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Offer publishes a job to the queue group, on offers.<queue>.<id>; msg.Subject is
// ignored. There is no confirmation: without a member the job is lost.
func Offer(ctx context.Context, nc *nats.Conn, queue, id string, msg *nats.Msg) error {
	job, err := newJob("offers", queue, id, msg, nc.MaxPayload())
	if err = cmp.Or(err, ctx.Err()); err == nil {
		err = nc.PublishMsg(job)
	}
	if err != nil {
		return fmt.Errorf("queueing: offer %.80q: %w", id, err)
	}
	return nil
}

// Member is one worker of a queue group. The server delivers each job to one member,
// whether or not that member is busy.
type Member struct {
	cfg      Config
	nc       *nats.Conn
	sub      *nats.Subscription
	process  atomic.Pointer[func(*nats.Msg)] // nil until Run
	ended    chan struct{}                   // closed after the last call of receive
	handlers sync.WaitGroup
	busy     chan struct{} // one element for each running handler but the last
}

// NewMember joins the group: the jobs that arrive from now on are buffered for Run. The
// context bounds this call only.
func NewMember(ctx context.Context, nc *nats.Conn, queue string, cfg Config) (*Member, error) {
	cfg, err := cfg.normal(queue)
	if err != nil {
		return nil, err
	}
	if cfg.Priority > 0 {
		return nil, fmt.Errorf("%w: Priority is %d; a queue group has none", ErrConfig, cfg.Priority)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	m := &Member{cfg: cfg, nc: nc, ended: make(chan struct{}), busy: make(chan struct{}, cfg.Concurrency-1)}
	m.sub, err = nc.QueueSubscribe("offers."+queue+".*", queue, m.receive)
	if err != nil {
		return nil, fmt.Errorf("queueing: join %s: %w", queue, err)
	}
	m.sub.SetClosedHandler(func(string) { close(m.ended) })
	if cfg.Prefetch > 0 { // nats.go counts the message that receive has
		err = m.sub.SetPendingLimits(cfg.Concurrency+cfg.Prefetch+1, nats.DefaultSubPendingBytesLimit)
	}
	err = errors.Join(err, nc.FlushWithContext(ctx), ctx.Err()) // a flush can succeed after ctx has ended
	if err != nil {
		_ = m.sub.Unsubscribe() // fails only if the connection is closed
		return nil, fmt.Errorf("queueing: join %s: %w", queue, err)
	}
	return m, nil
}

// Run calls handle for each job, Concurrency jobs at a time. When ctx ends, Run leaves
// the group and handles the jobs that it has buffered, for up to Grace; then it drops
// the rest and cancels the handlers' context. It returns nil after all handlers have
// returned. Before ctx ends, it returns only if the connection was closed.
func (m *Member) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	work, stop := withGrace(ctx, m.cfg.Grace, m.dropRest)
	defer stop()
	process := func(msg *nats.Msg) {
		// nats.go copies a message for each subscription, so that the handler may change it.
		job := Message{ID: lastToken(msg.Subject), Subject: msg.Subject, Header: msg.Header, Data: msg.Data, Delivery: 1}
		if err := callHandler(work, m.cfg.Log, msg.Subject, handle, job); err != nil {
			m.cfg.Log.Error("queueing: the job failed", "subject", msg.Subject, "err", err)
		}
	}
	if !m.process.CompareAndSwap(nil, &process) {
		return ErrAlreadyRun
	}
	slow := m.sub.StatusChanged(nats.SubscriptionSlowConsumer)
	defer context.AfterFunc(ctx, func() { drainSubscription(m.nc, m.sub) })()
	for {
		select {
		case <-m.ended:
			m.handlers.Wait()
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("queueing: group %s: %w", m.sub.Queue, nats.ErrConnectionClosed)
		case _, open := <-slow:
			if !open { // the subscription has ended
				slow = nil
				continue
			}
			dropped, _ := m.sub.Dropped()
			m.cfg.Log.Warn("queueing: too slow, jobs are dropped", "subject", m.sub.Subject, "so far", dropped)
		}
	}
}

// receive handles a message, or starts its handler if others may run beside it. Before
// Run it blocks, so that nats.go buffers the messages.
func (m *Member) receive(msg *nats.Msg) {
	for m.process.Load() == nil && msg.Sub.IsValid() {
		time.Sleep(10 * time.Millisecond)
	}
	process := m.process.Load()
	if process == nil {
		return // the connection is closed
	}
	if m.cfg.Concurrency == 1 {
		(*process)(msg)
		return
	}
	m.handlers.Go(func() {
		(*process)(msg)
		<-m.busy
	})
	m.busy <- struct{}{} // blocks while Concurrency handlers run
}

// dropRest ends the subscription with the jobs that are still buffered.
func (m *Member) dropRest() {
	pending, _, _ := m.sub.Pending() // with the message that receive has
	if pending > 1 {
		m.cfg.Log.Warn("queueing: Grace is over, jobs are dropped", "subject", m.sub.Subject, "jobs", pending-1)
	}
	_ = m.sub.Unsubscribe() // fails only if the connection is closed
}
