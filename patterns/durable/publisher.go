package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publisher publishes many messages at once: [Publisher.Send] does not wait for
// the answer, and [Publisher.Flush] does. It may be used by many goroutines. What is
// published again is overtaken by what came after it: for order, use [Publish], one
// message after the other.
type Publisher struct {
	topic string
	js    jetstream.JetStream
	async jetstream.JetStream // its own, as the answers come to it
	life  context.Context     // of what is published again
	end   context.CancelFunc

	window   chan struct{} // holds one for each message on its way
	flushing chan struct{} // holds one while somebody flushes

	mu     sync.Mutex // guards what follows
	first  map[*nats.Msg]struct{}
	lost   Unconfirmed
	closed bool
}

// Failure is a message that was not confirmed, and why.
type Failure struct {
	ID  string
	Msg *nats.Msg // as it was sent, Subject and id included
	Err error
}

// Unconfirmed is the error that tells which messages failed.
type Unconfirmed []Failure

func (u Unconfirmed) Error() string {
	return fmt.Sprintf("durable: %d messages were not confirmed; the first is %s: %v", len(u), u[0].ID, u[0].Err)
}

// Unwrap makes the reasons known to errors.Is.
func (u Unconfirmed) Unwrap() (errs []error) {
	for _, f := range u {
		errs = append(errs, f.Err)
	}
	return errs
}

// NewPublisher finds or creates the topic. The context bounds this call only.
func NewPublisher(ctx context.Context, js jetstream.JetStream, topic string, cfg Config) (*Publisher, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(topic)
	}
	if err != nil {
		return nil, err
	}
	if _, err = openStream(ctx, js, topic, cfg); err != nil {
		return nil, fmt.Errorf("durable: topic %s: %w", topic, err)
	}
	p := &Publisher{topic: topic, js: js, window: make(chan struct{}, cfg.Window), flushing: make(chan struct{}, 1), first: map[*nats.Msg]struct{}{}}
	p.async, err = jetstream.New(js.Conn(), jetstream.WithPublishAsyncMaxPending(cfg.Window), jetstream.WithPublishAsyncTimeout(tryTime),
		jetstream.WithPublishAsyncAckHandler(p.acked), jetstream.WithPublishAsyncErrHandler(p.failed))
	if err != nil {
		return nil, fmt.Errorf("durable: topic %s: %w", topic, err)
	}
	p.life, p.end = context.WithCancel(context.WithoutCancel(ctx))
	return p, nil
}

// Send sends msg as message id, waiting no longer than until the window has room. Nil
// says nothing of the message yet: Flush does. Once one has failed, Send refuses
// with ErrUnconfirmed, until Flush has told.
func (p *Publisher) Send(ctx context.Context, id string, msg *nats.Msg) error {
	m, err := encode(p.topic, id, msg, p.js.Conn().MaxPayload())
	if err != nil {
		return err
	}
	if err = ctx.Err(); err == nil {
		select {
		case p.window <- struct{}{}:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("durable: send %s: %w", id, err)
	}
	if err := p.admit(m); err != nil {
		<-p.window
		return fmt.Errorf("durable: send %s: %w", id, err)
	}
	if _, err := p.async.PublishMsgAsync(m); err != nil {
		p.failed(nil, m, err)
	}
	return nil
}

func (p *Publisher) admit(m *nats.Msg) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return ErrClosed
	case len(p.lost) > 0:
		return fmt.Errorf("%w: that is so of %d sent before; call Flush", ErrUnconfirmed, len(p.lost))
	case p.js.Conn().IsClosed():
		return nats.ErrConnectionClosed
	}
	p.first[m] = struct{}{}
	return nil
}

// settled is true once for each message: nats.go may tell of an error twice, when a
// line is cut while it is written to.
func (p *Publisher) settled(m *nats.Msg) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.first[m]
	delete(p.first, m)
	return ok
}

func (p *Publisher) acked(_ jetstream.JetStream, m *nats.Msg, _ *jetstream.PubAck) {
	if p.settled(m) {
		<-p.window
	}
}

// failed publishes the message again, whatever the reason: it keeps its place in
// the window meanwhile, so there are never more than Window of these.
func (p *Publisher) failed(_ jetstream.JetStream, m *nats.Msg, _ error) {
	if p.settled(m) {
		go p.again(m)
	}
}

func (p *Publisher) again(m *nats.Msg) {
	if _, err := publish(p.life, p.js, p.topic, m); err != nil {
		p.mu.Lock()
		p.lost = append(p.lost, Failure{ID: m.Header.Get(jetstream.MsgIDHeader), Msg: m, Err: err})
		p.mu.Unlock()
	}
	<-p.window
}

// Flush waits until all that was sent before is confirmed or has failed. Nil says
// that it is stored, all of it; an [Unconfirmed] names what is not known to be,
// once. When ctx ends before, messages are still on their way, and flushed later.
func (p *Publisher) Flush(ctx context.Context) error {
	select {
	case p.flushing <- struct{}{}:
		defer func() { <-p.flushing }()
	case <-ctx.Done():
		return fmt.Errorf("durable: flush: %w", ctx.Err())
	}
	// Whoever holds all places of the window knows that nothing is on its way.
	held := 0
	defer func() {
		for range held {
			<-p.window
		}
	}()
	for ; held < cap(p.window); held++ {
		select {
		case p.window <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("durable: flush: messages are still on their way: %w", ctx.Err())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := p.lost
	p.lost = nil
	if len(lost) > 0 {
		return lost
	}
	return nil
}

// Close flushes, and gives up when ctx ends: what is still on its way then is
// Unconfirmed.
func (p *Publisher) Close(ctx context.Context) error {
	err := p.Flush(ctx)
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	p.async.CleanupPublisher() // tells failed of all that it has not heard of
	return errors.Join(err, p.Flush(context.WithoutCancel(ctx)))
}
