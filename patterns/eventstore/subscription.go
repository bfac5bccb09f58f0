package eventstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrPoison is for a Handler to return about an event that it will never manage.
var ErrPoison = errors.New("eventstore: poison")

// Handler is told of one event at a time. What it returns decides:
//
//	            durable                              live
//	nil         done; the next one                   the next one
//	ErrPoison   given up; the next one               the next one
//	an error    again after a while, and none other  Run ends with the error
type Handler func(ctx context.Context, e Event) error

// Run calls h for each event, in the order of the stream, one at a time, until ctx
// ends, and then returns nil; before that it returns only why it cannot go on. It
// may be called once.
func (s *Subscription) Run(ctx context.Context, h Handler) error {
	if h == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if s.ran.Swap(true) {
		return errors.New("eventstore: Run was called before; subscribe again")
	}
	if s.feed.Durable == "" {
		defer s.forget(ctx)
	}
	if ctx.Err() != nil {
		return nil
	}
	it, err := s.consumer.Messages(jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return edge(err, "subscription")
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		switch {
		case ctx.Err() != nil:
			if err == nil && s.feed.Durable != "" {
				_ = m.Nak() // a nak that was lost is an AckWait lost
			}
			return nil
		case errors.Is(err, jetstream.ErrNoHeartbeat):
			if err = s.alive(ctx); err == nil {
				continue
			}
		case err == nil:
			err = s.handle(ctx, h, m)
		}
		if err != nil {
			return edge(err, "subscription")
		}
	}
}

// alive tells a server that is silent from a consumer that is gone.
func (s *Subscription) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	if _, err := s.consumer.Info(ctx); errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	return nil
}

// forget spares the server the wait until it forgets a live consumer by itself.
func (s *Subscription) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = s.store.stream.DeleteConsumer(ctx, s.consumer.CachedInfo().Name)
}

func (s *Subscription) handle(ctx context.Context, h Handler, m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	log := s.store.cfg.Log.With("subject", m.Subject(), "seq", meta.Sequence.Stream)
	e, err := parse(m.Subject(), m.Headers(), m.Data(), meta.Sequence.Stream, meta.Timestamp)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrPoison, err)
	} else {
		err = s.call(ctx, h, m, e)
	}
	live := s.feed.Durable == ""
	switch {
	case errors.Is(err, ErrPoison):
		log.Error("event skipped", "err", err)
		if !live {
			return m.TermWithReason("poison")
		}
	case live:
		return err
	case err != nil:
		log.Warn("event comes again", "err", err)
		wait := s.feed.Retry
		for n := meta.NumDelivered; n > 1 && wait < time.Minute; n-- {
			wait = min(2*wait, time.Minute)
		}
		return m.NakWithDelay(wait)
	default:
		return m.Ack()
	}
	return nil
}

// call runs the handler, keeps its event from being given to another meanwhile,
// and ends the handler's context once ctx has ended and Grace has passed.
func (s *Subscription) call(ctx context.Context, h Handler, m jetstream.Msg, e Event) error {
	var extender sync.WaitGroup
	defer extender.Wait()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.feed.Grace, cancel) })()
	if s.feed.Durable != "" {
		extender.Go(func() {
			tick := time.NewTicker(s.feed.AckWait / 2)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					_ = m.InProgress() // the next one may get through
				case <-work.Done():
					return
				}
			}
		})
	}
	return h(work, e)
}
