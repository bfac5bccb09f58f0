package durable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

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

// place is one of the window. Its nth use is numbered nth*Window + place, so that an
// answer that comes late is not taken for that of the next message.
type place struct {
	n    uint64
	msg  *nats.Msg // nil when no answer is waited for
	sent time.Time
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
	if p.js.Conn().PublishMsg(m) != nil {
		p.again(n)
	}
	return nil
}

func (p *Publisher) admit(i uint64, m *nats.Msg) (n uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, ErrClosed
	case len(p.lost) > 0:
		return 0, fmt.Errorf("%w: that is so of %d sent before; call Flush", ErrUnconfirmed, len(p.lost))
	case p.js.Conn().IsClosed():
		return 0, nats.ErrConnectionClosed
	}
	at := &p.places[i]
	at.n, at.msg, at.sent = at.n+uint64(len(p.places)), m, time.Now()
	if !p.watching {
		p.watching = true
		time.AfterFunc(tryTime, p.sweep)
	}
	return at.n, nil
}

// settle returns the message n, the first time it is asked.
func (p *Publisher) settle(n uint64) (m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := &p.places[n%uint64(len(p.places))]; at.n == n {
		m, at.msg = at.msg, nil
	}
	return m
}

func (p *Publisher) answer(msg *nats.Msg) {
	n, err := strconv.ParseUint(msg.Subject[len(p.inbox):], 10, 64)
	if err != nil {
		return
	}
	var ack struct {
		Stream string          `json:"stream"`
		Error  json.RawMessage `json:"error"`
	}
	if json.Unmarshal(msg.Data, &ack) != nil || ack.Stream == "" || ack.Error != nil {
		p.again(n)
	} else if p.settle(n) != nil {
		p.free <- n % uint64(len(p.places))
	}
}

// sweep looks for messages that have had no answer.
func (p *Publisher) sweep() {
	p.mu.Lock()
	p.watching = false
	var late []uint64
	for _, at := range p.places {
		if at.msg != nil && time.Since(at.sent) >= tryTime {
			late = append(late, at.n)
		} else if at.msg != nil && !p.watching {
			p.watching = true
			time.AfterFunc(tryTime/2, p.sweep)
		}
	}
	p.mu.Unlock()
	for _, n := range late {
		p.again(n)
	}
}

// again publishes the message n once more, whatever was the matter. It keeps its
// place meanwhile, so there are never more than Window of these.
func (p *Publisher) again(n uint64) {
	m := p.settle(n)
	if m == nil {
		return
	}
	go func() {
		if _, err := publish(p.life, p.js, p.topic, m); err != nil {
			p.mu.Lock()
			p.lost = append(p.lost, Failure{ID: m.Header.Get(jetstream.MsgIDHeader), Msg: m, Err: err})
			p.mu.Unlock()
		}
		p.free <- n % uint64(len(p.places))
	}()
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
