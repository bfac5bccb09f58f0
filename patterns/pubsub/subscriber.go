package pubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Message is a message as a [Handler] receives it.
type Message[T any] struct {
	Subject string
	Header  nats.Header
	Body    T
}

// Handler handles one message. An error or a panic is logged; the message is not
// delivered again.
type Handler[T any] func(ctx context.Context, msg Message[T]) error

// Subscriber receives the messages of one subject, or of a subtree of subjects.
type Subscriber[T any] struct {
	cfg     Config
	nc      *nats.Conn
	sub     *nats.Subscription
	ran     atomic.Bool
	receive func(*nats.Msg) // set before started is closed
	started chan struct{}
	closed  chan struct{} // the last message was received

	draining atomic.Bool
	mu       sync.Mutex // guards dropped
	dropped  int        // logged so far
}

// NewSubscriber subscribes to pattern, such as "orders.*.placed" or "orders.>".
// When it returns, the server has registered the subscription. The context bounds
// this call only.
func NewSubscriber[T any](ctx context.Context, nc *nats.Conn, pattern string, cfg Config) (*Subscriber[T], error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	if err := checkPattern(pattern); err != nil {
		return nil, err
	}
	s := &Subscriber[T]{cfg: cfg, nc: nc, started: make(chan struct{}), closed: make(chan struct{})}
	if err := s.subscribe(ctx, pattern); err != nil {
		s.discard()
		return nil, fmt.Errorf("pubsub: subscribe to %s: %w", pattern, err)
	}
	return s, nil
}

func checkPattern(pattern string) error {
	if len(pattern) > maxSubject {
		return fmt.Errorf("%w: a pattern of %d bytes; use at most %d", ErrID, len(pattern), maxSubject)
	}
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		if token == "*" || token == ">" && i == len(tokens)-1 {
			continue
		}
		if err := checkID(token); err != nil {
			return fmt.Errorf("%w in pattern %.80q; * matches one token, and > at the end matches the rest", err, pattern)
		}
	}
	return nil
}

func (s *Subscriber[T]) subscribe(ctx context.Context, pattern string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	started := false
	s.sub, err = s.nc.Subscribe(pattern, func(msg *nats.Msg) {
		if !started { // a local variable is faster than a closed channel
			<-s.started
			started = true
		}
		s.receive(msg)
	})
	if err != nil {
		return err
	}
	s.sub.SetClosedHandler(func(string) { close(s.closed) })
	if err := s.sub.SetPendingLimits(s.cfg.Prefetch+1, nats.DefaultSubPendingBytesLimit); err != nil { // +1: the message in the handler counts
		return err
	}
	return errors.Join(s.nc.FlushWithContext(ctx), ctx.Err()) // the flush can win a race against an ended ctx
}

// discard ends the subscription of a Subscriber that does not run.
func (s *Subscriber[T]) discard() {
	_ = s.sub.Unsubscribe() // fails only if the connection is closed
	s.receive = func(*nats.Msg) {}
	close(s.started)
}

// Run calls handle for each message, one at a time, until ctx ends. Then it handles
// the messages received before, for at most Grace, and returns nil. It returns an
// error only if the connection is closed. Run may be called once.
func (s *Subscriber[T]) Run(ctx context.Context, handle Handler[T]) error {
	if s.ran.Swap(true) {
		return ErrAlreadyRun
	}
	if handle == nil {
		s.discard()
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	work, stop := withGrace(ctx, s.cfg.Grace)
	defer stop()
	slow, unhandled := s.sub.StatusChanged(nats.SubscriptionSlowConsumer), 0
	s.receive = func(msg *nats.Msg) {
		if len(slow) > 0 { // faster than a select for each message
			<-slow
			s.logDropped()
		}
		if s.draining.Load() {
			s.logDropped() // nats.go reports a slow consumer only once
			if work.Err() != nil {
				unhandled++
				return
			}
		}
		s.handle(work, msg, handle)
	}
	close(s.started)
	select {
	case <-s.closed:
		return fmt.Errorf("pubsub: subscription to %s: %w", s.sub.Subject, nats.ErrConnectionClosed)
	case <-ctx.Done():
	}
	s.logDropped()
	s.draining.Store(true)
	drainSubscription(s.nc, s.sub)
	<-s.closed
	if unhandled > 0 {
		s.cfg.Log.Warn("pubsub: messages not handled within Grace", "subject", s.sub.Subject, "messages", unhandled, "grace", s.cfg.Grace)
	}
	return nil
}

// logDropped logs how many messages nats.go has dropped since the last call.
func (s *Subscriber[T]) logDropped() {
	s.mu.Lock()
	defer s.mu.Unlock()
	total, err := s.sub.Dropped() // fails once the subscription is closed
	if err != nil || total == s.dropped {
		return
	}
	s.cfg.Log.Warn("pubsub: messages dropped; the handler is too slow", "subject", s.sub.Subject, "messages", total-s.dropped, "prefetch", s.cfg.Prefetch)
	s.dropped = total
}

func (s *Subscriber[T]) handle(ctx context.Context, msg *nats.Msg, handle Handler[T]) {
	var body T // a Message would escape to the heap as a whole
	err := json.Unmarshal(msg.Data, &body)
	if err != nil {
		err = fmt.Errorf("%w: %d bytes into %T: %w", ErrPayload, len(msg.Data), body, err)
	} else {
		err = callHandler(ctx, s.cfg.Log, msg.Subject, handle, Message[T]{msg.Subject, msg.Header, body})
	}
	if err != nil {
		s.cfg.Log.Warn("pubsub: message not handled", "subject", msg.Subject, "err", err)
	}
}
