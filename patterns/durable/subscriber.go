package durable

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

const moment = 100 * time.Millisecond // in which, if there is a message, it comes

// Subscriber is one subscriber of a topic, by name: the server remembers how far it
// has come, so that another process of that name resumes where this one stopped. Of
// two at once, either is given the next message, and never both, unless the first is
// cut off for longer than AckWait.
type Subscriber struct {
	cfg    Config
	name   string
	js     jetstream.JetStream
	stream jetstream.Stream
	cons   jetstream.Consumer
	ran    atomic.Bool
	done   atomic.Uint64                 // the last message that was handled
	hand   atomic.Pointer[jetstream.Msg] // the one that is being handled
}

// NewSubscriber finds or creates the topic and the subscriber, who begins with the
// oldest message there is. The context bounds this call only.
func NewSubscriber(ctx context.Context, js jetstream.JetStream, topic, name string, cfg Config) (*Subscriber, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = errors.Join(checkID(topic), checkID(name))
	}
	if err != nil {
		return nil, err
	}
	s := &Subscriber{cfg: cfg, name: name, js: js}
	if s.stream, err = openStream(ctx, js, topic, cfg); err == nil {
		s.cons, err = openConsumer(ctx, s.stream, name, cfg)
	}
	if err != nil {
		return nil, fmt.Errorf("durable: subscriber %s of %s: %w", name, topic, err)
	}
	return s, nil
}

// Run is the event-driven form: it calls handle for each message as it comes. When
// ctx ends it takes no more, finishes the message in hand, whose context ends after
// Grace, and returns nil; before that, it returns only why it cannot go on.
func (s *Subscriber) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if s.ran.Swap(true) {
		return ErrTwice
	}
	if ctx.Err() != nil {
		return nil
	}
	work, stop := s.work(ctx)
	defer stop()
	errs := make(chan error, 1)
	tell := func(err error) {
		select {
		case errs <- err:
		default: // one is enough to have a look
		}
	}
	c, err := s.cons.Consume(func(msg jetstream.Msg) {
		if ctx.Err() != nil {
			_ = msg.Nak() // for the next of this name; lost, it costs an AckWait
		} else if _, err := s.handle(work, handle, msg); err != nil {
			tell(err)
		}
	}, jetstream.PullMaxMessages(100), jetstream.PullHeartbeat(5*time.Second),
		jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) { tell(err) }))
	if err != nil {
		return s.edge(err)
	}
	for err == nil && ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case cause := <-errs: // mostly an outage, which ends
			err = s.gone(ctx, cause)
		}
	}
	if s.js.Conn().IsConnected() {
		c.Drain()
	} else {
		c.Stop() // a drain would wait for the server
	}
	<-c.Closed()
	return s.edge(err)
}

// Poll is the polling form: it calls handle for each message that is there, at most
// limit, and returns how many were handled once there is none, or one has failed, or
// ctx ends. A message that failed is there again after its backoff.
func (s *Subscriber) Poll(ctx context.Context, limit int, handle Handler) (n int, err error) {
	if handle == nil {
		return 0, fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	work, stop := s.work(ctx)
	defer stop()
	for n < limit && ctx.Err() == nil {
		// Not FetchNoWait: a message that comes due just as we let go is lost for an AckWait.
		batch, err := s.cons.Fetch(1, jetstream.FetchMaxWait(moment))
		if err != nil {
			return n, s.edge(err)
		}
		msg, ok := <-batch.Messages()
		switch {
		case ok:
			failed, err := s.handle(work, handle, msg)
			if err = errors.Join(failed, err); err != nil {
				return n, s.edge(err)
			}
			n++
		case batch.Error() != nil:
			return n, s.edge(s.gone(ctx, batch.Error()))
		case !s.js.Conn().IsConnected():
			return n, s.edge(nats.ErrDisconnected) // nobody says that there is none
		default:
			return n, nil
		}
	}
	return n, nil
}

// work is the context of the handlers: it ends Grace after ctx, and until stop, the
// message in hand is kept from being delivered again.
func (s *Subscriber) work(ctx context.Context) (work context.Context, stop func()) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	late := context.AfterFunc(ctx, func() { time.AfterFunc(s.cfg.Grace, cancel) })
	done := make(chan struct{})
	var extender sync.WaitGroup
	extender.Go(func() {
		tick := time.NewTicker(s.cfg.AckWait / 3)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if msg := s.hand.Load(); msg != nil {
					_ = (*msg).InProgress() // the next one may get through
				}
			case <-done:
				return
			}
		}
	})
	return work, func() { close(done); extender.Wait(); late(); cancel() }
}
