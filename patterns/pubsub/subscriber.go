package pubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Message is what a subscriber gets.
type Message[T any] struct {
	Subject string
	Header  nats.Header
	Body    T
}

// Handler handles one message. An error, or a panic, is reported and changes
// nothing else: the message is gone either way.
type Handler[T any] func(ctx context.Context, m Message[T]) error

// Subscriber hears the messages of a part of the subject tree.
type Subscriber[T any] struct {
	cfg     Config
	nc      *nats.Conn
	sub     *nats.Subscription
	ran     atomic.Bool
	dropped int // told so far
}

// NewSubscriber subscribes to pattern, such as "orders.*.placed" or "orders.>".
// Once it returns, no message is missed. The context bounds this call only.
func NewSubscriber[T any](ctx context.Context, nc *nats.Conn, pattern string, cfg Config) (*Subscriber[T], error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	if len(pattern) > maxSubject {
		return nil, fmt.Errorf("%w: a pattern of %d bytes, at most %d", ErrID, len(pattern), maxSubject)
	}
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		if token == "*" || token == ">" && i == len(tokens)-1 {
			continue
		}
		if err := checkID(token); err != nil {
			return nil, fmt.Errorf("%w in pattern %.80q, where * stands for a token and a last > for the rest", err, pattern)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	sub, err := nc.SubscribeSync(pattern)
	if err == nil {
		err = sub.SetPendingLimits(cfg.Pending, nats.DefaultSubPendingBytesLimit)
	}
	if err == nil {
		err = nc.FlushWithContext(ctx)
	}
	if err != nil {
		if sub != nil {
			_ = sub.Unsubscribe() // fails only when the connection is gone
		}
		return nil, fmt.Errorf("pubsub: subscribe to %s: %w", pattern, err)
	}
	return &Subscriber[T]{cfg: cfg, nc: nc, sub: sub}, nil
}

// Run calls handle, on this goroutine, for each message until ctx ends, then for
// those received until then, and returns nil; before that, it returns only if it
// can no longer listen. It may be called once.
func (s *Subscriber[T]) Run(ctx context.Context, handle Handler[T]) error {
	if s.ran.Swap(true) {
		return ErrTwice
	}
	defer func() { _ = s.sub.Unsubscribe() }() // fails only when the connection is gone
	if handle == nil {
		return fmt.Errorf("%w: Run needs a handler", ErrConfig)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopping := context.AfterFunc(ctx, func() { time.AfterFunc(s.cfg.Grace, cancel) })
	defer stopping()
	for {
		msg, err := s.sub.NextMsgWithContext(ctx)
		switch {
		case err == nil:
			s.handle(work, msg, handle)
		case ctx.Err() != nil:
			return s.drain(work, handle)
		case errors.Is(err, nats.ErrSlowConsumer):
			s.tellDropped()
		default:
			return fmt.Errorf("pubsub: listen to %s: %w", s.sub.Subject, err)
		}
	}
}

// drain handles what had been sent to this subscriber when it was told to stop. A
// round trip brings what was on the way.
func (s *Subscriber[T]) drain(work context.Context, handle Handler[T]) error {
	round, cancel := context.WithTimeout(work, s.cfg.Grace)
	defer cancel()
	if err := s.nc.FlushWithContext(round); err != nil && work.Err() == nil && !s.nc.IsReconnecting() && !s.nc.IsClosed() {
		return fmt.Errorf("pubsub: stop listening to %s: %w", s.sub.Subject, err)
	}
	n, _, err := s.sub.Pending()
	for n > 0 && (err == nil || errors.Is(err, nats.ErrSlowConsumer)) && work.Err() == nil {
		var msg *nats.Msg
		if msg, err = s.sub.NextMsgWithContext(work); err == nil {
			s.handle(work, msg, handle)
			n--
		}
	}
	if work.Err() != nil && n > 0 {
		s.cfg.Report(Failure{s.sub.Subject, fmt.Errorf("%w: %d left unhandled after Grace (%v)", ErrDropped, n, s.cfg.Grace)})
	}
	s.tellDropped()
	return nil
}

// tellDropped reports what was dropped since it last did.
func (s *Subscriber[T]) tellDropped() {
	all, err := s.sub.Dropped()
	if err != nil || all == s.dropped {
		return
	}
	s.cfg.Report(Failure{s.sub.Subject, fmt.Errorf("%w: %d, as the handler was more than %d messages or 64 MiB behind", ErrDropped, all-s.dropped, s.cfg.Pending)})
	s.dropped = all
}

func (s *Subscriber[T]) handle(ctx context.Context, msg *nats.Msg, handle Handler[T]) {
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Report(Failure{msg.Subject, fmt.Errorf("%w: %v\n%s", ErrPanic, v, debug.Stack())})
		}
	}()
	m := Message[T]{Subject: msg.Subject, Header: msg.Header}
	err := json.Unmarshal(msg.Data, &m.Body)
	if err != nil {
		err = fmt.Errorf("%w: %d bytes into %T: %w", ErrPayload, len(msg.Data), m.Body, err)
	} else {
		err = handle(ctx, m)
	}
	if err != nil {
		s.cfg.Report(Failure{msg.Subject, err})
	}
}
