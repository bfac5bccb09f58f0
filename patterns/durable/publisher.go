package durable

import (
	"context"
	"errors"
	"fmt"
	"strconv"
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
	inbox string // where the answers come
	sub   *nats.Subscription
	life  context.Context // of what is published again
	end   context.CancelFunc

	free     chan uint64   // the places of the window that are free
	flushing chan struct{} // holds one while somebody flushes

	mu       sync.Mutex // guards what follows
	places   []place
	watching bool // a sweep is due
	lost     Unconfirmed
	closed   bool
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
	p := &Publisher{topic: topic, js: js, inbox: js.Conn().NewInbox() + ".",
		free: make(chan uint64, cfg.Window), flushing: make(chan struct{}, 1), places: make([]place, cfg.Window)}
	for i := range p.places {
		p.places[i].n = uint64(i)
		p.free <- uint64(i)
	}
	if p.sub, err = js.Conn().Subscribe(p.inbox+"*", p.answer); err != nil {
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
	var i uint64
	if err = ctx.Err(); err == nil {
		select {
		case i = <-p.free:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return fmt.Errorf("durable: send %s: %w", id, err)
	}
	n, err := p.admit(i, m)
	if err != nil {
		p.free <- i
		return fmt.Errorf("durable: send %s: %w", id, err)
	}
	m.Reply = p.inbox + strconv.FormatUint(n, 10)
	if nc := p.js.Conn(); !nc.IsConnected() || nc.PublishMsg(m) != nil {
		p.again(n)
	}
	return nil
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
	var held []uint64
	defer func() {
		for _, i := range held {
			p.free <- i
		}
	}()
	for len(held) < len(p.places) {
		select {
		case i := <-p.free:
			held = append(held, i)
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
	var open []uint64
	for _, at := range p.places {
		open = append(open, at.n)
	}
	p.mu.Unlock()
	p.end()
	_ = p.sub.Unsubscribe() // fails only with the connection
	for _, n := range open {
		p.again(n) // once, if it is still open, to say that it failed
	}
	return errors.Join(err, p.Flush(context.WithoutCancel(ctx)))
}
