package queueing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Offer publishes the job id to whichever member of the queue group is there, on
// offers.<queue>.<id>; the Subject of msg is not used. Nobody learns what becomes
// of the job: with no member there, it is gone.
func Offer(ctx context.Context, nc *nats.Conn, queue, id string, msg *nats.Msg) error {
	if err := checkID(queue); err != nil {
		return err
	}
	m, err := job("offers", queue, id, msg, nc.MaxPayload())
	if err != nil {
		return err
	}
	if err = ctx.Err(); err == nil {
		err = nc.PublishMsg(m)
	}
	if err != nil {
		return fmt.Errorf("queueing: offer %s: %w", id, err)
	}
	return nil
}

// Member is one worker of a queue group: the server gives each job to one of the
// members, whether or not it is busy.
type Member struct {
	cfg Config
	nc  *nats.Conn
	sub *nats.Subscription
	ran atomic.Bool
}

// NewMember joins the group: once it returns, jobs come this way, and Run must be
// called. The context bounds this call only.
func NewMember(ctx context.Context, nc *nats.Conn, queue string, cfg Config) (*Member, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(queue)
	}
	if err == nil && cfg.Priority > 0 {
		err = fmt.Errorf("%w: Priority is of the work queue", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	sub, err := nc.QueueSubscribeSync("offers."+queue+".*", queue)
	if err == nil && cfg.Ahead > 0 {
		err = sub.SetPendingLimits(cfg.InHand+cfg.Ahead, nats.DefaultSubPendingBytesLimit)
	}
	if err == nil {
		err = errors.Join(nc.FlushWithContext(ctx), ctx.Err()) // a flush may win a race against an ended ctx
	}
	if err != nil {
		_ = sub.Unsubscribe() // whatever it says, this sub is of no more use
		return nil, fmt.Errorf("queueing: join %s: %w", queue, err)
	}
	return &Member{cfg: cfg, nc: nc, sub: sub}, nil
}

// Run calls handle for each job, cfg.InHand at a time. When ctx ends it takes
// leave of the group, finishes what it has been given, for as long as cfg.Grace
// lets it, and returns nil once the handlers have returned; before that, it
// returns only if it can no longer listen.
func (m *Member) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if m.ran.Swap(true) {
		return ErrTwice
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		time.AfterFunc(m.cfg.Grace, cancel)
		m.leave()
	})()
	var hands sync.WaitGroup
	for range m.cfg.InHand {
		hands.Go(func() { m.handle(work, handle) })
	}
	hands.Wait()
	undone, _, _ := m.sub.Pending() // none, and an error, once it is drained
	_ = m.sub.Unsubscribe()
	if undone > 0 {
		m.cfg.Log.Warn("queueing: stopped with jobs undone", "subject", m.sub.Subject, "jobs", undone)
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("queueing: group %s: %w", m.sub.Queue, nats.ErrConnectionClosed)
}

// leave has what was given to this member until now handled, and takes no more.
func (m *Member) leave() {
	if m.nc.IsConnected() {
		_ = m.sub.Drain() // fails if there is nothing to take leave of
		return
	}
	// A drain would wait for the server, which sends nothing now.
	for n, _, err := m.sub.Pending(); n > 0 && err == nil; n, _, err = m.sub.Pending() {
		time.Sleep(20 * time.Millisecond)
	}
	_ = m.sub.Unsubscribe()
}

// handle is one hand: it takes job after job until ctx ends or no more come.
func (m *Member) handle(ctx context.Context, handle Handler) {
	for {
		msg, err := m.sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrSlowConsumer):
			dropped, _ := m.sub.Dropped()
			m.cfg.Log.Warn("queueing: too slow, jobs are dropped", "subject", m.sub.Subject, "so far", dropped)
			continue
		case err != nil:
			return
		}
		if err := call(ctx, handle, msg, m.cfg.Log); err != nil {
			m.cfg.Log.Error("queueing: job failed", "subject", msg.Subject, "err", err)
		}
	}
}
