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
	hear    func(*nats.Msg) // set before begun is closed
	begun   chan struct{}
	ended   chan struct{} // no more messages come
	dropped int           // told so far
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
	s := &Subscriber[T]{cfg: cfg, nc: nc, begun: make(chan struct{}), ended: make(chan struct{})}
	open := false
	s.sub, err = nc.Subscribe(pattern, func(msg *nats.Msg) {
		if !open { // a closed channel costs more than a local variable
			<-s.begun
			open = true
		}
		s.hear(msg)
	})
	if err == nil {
		s.sub.SetClosedHandler(func(string) { close(s.ended) })
		err = s.sub.SetPendingLimits(cfg.Pending+1, nats.DefaultSubPendingBytesLimit) // the one being handled counts too
	}
	if err == nil {
		err = errors.Join(nc.FlushWithContext(ctx), ctx.Err()) // a flush may win a race against an ended ctx
	}
	if err != nil {
		s.refuse()
		return nil, fmt.Errorf("pubsub: subscribe to %s: %w", pattern, err)
	}
	return s, nil
}

// refuse ends a subscription that nobody will run.
func (s *Subscriber[T]) refuse() {
	_ = s.sub.Unsubscribe() // fails only when the connection is gone
	s.hear = func(*nats.Msg) {}
	close(s.begun)
}

// Run has handle called, one message after the other, until ctx ends, then for
// those received until then, and returns nil; before that, it returns only if it
// can no longer listen. It may be called once.
func (s *Subscriber[T]) Run(ctx context.Context, handle Handler[T]) error {
	if s.ran.Swap(true) {
		return ErrTwice
	}
	if handle == nil {
		s.refuse()
		return fmt.Errorf("%w: Run needs a handler", ErrConfig)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	slow, left := s.sub.StatusChanged(nats.SubscriptionSlowConsumer), 0
	s.hear = func(msg *nats.Msg) {
		if len(slow) > 0 { // cheaper than a select, for every message
			<-slow
			s.tellDropped()
		}
		if work.Err() != nil {
			left++
			return
		}
		s.handle(work, msg, handle)
	}
	close(s.begun)
	select {
	case <-s.ended:
		return fmt.Errorf("pubsub: listen to %s: %w", s.sub.Subject, nats.ErrConnectionClosed)
	case <-ctx.Done():
	}
	grace := time.AfterFunc(s.cfg.Grace, cancel)
	defer grace.Stop()
	s.leave()
	<-s.ended
	if left > 0 {
		s.cfg.Report(Failure{s.sub.Subject, fmt.Errorf("%w: %d left unhandled after Grace (%v)", ErrDropped, left, s.cfg.Grace)})
	}
	s.tellDropped()
	return nil
}

// leave has what was sent to this subscriber until now handled, and hears no more.
func (s *Subscriber[T]) leave() {
	if s.nc.IsConnected() {
		_ = s.sub.Drain() // fails only when the connection is gone
		return
	}
	// A drain would wait for the server, which sends nothing now.
	for n, _, err := s.sub.Pending(); n > 0 && err == nil; n, _, err = s.sub.Pending() {
		time.Sleep(20 * time.Millisecond)
	}
	_ = s.sub.Unsubscribe()
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
	var body T
	err := json.Unmarshal(msg.Data, &body)
	if err != nil {
		err = fmt.Errorf("%w: %d bytes into %T: %w", ErrPayload, len(msg.Data), body, err)
	} else {
		err = handle(ctx, Message[T]{msg.Subject, msg.Header, body})
	}
	if err != nil {
		s.cfg.Report(Failure{msg.Subject, err})
	}
}
