package durable

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// Publisher publishes messages without waiting for each ack: [Publisher.Send] returns
// after sending, and [Publisher.Flush] waits for the acks. Many goroutines may use it. A
// message that is retried is overtaken by later ones; if their order counts, use
// [Publish] for one message after the other.
type Publisher struct {
	topic       string
	js          jetstream.JetStream // publishes retries
	async       jetstream.JetStream // publishes first attempts
	retries     context.Context     // ends with Close
	stopRetries context.CancelFunc

	slots       *semaphore.Weighted // one for each message in flight
	maxInFlight int64

	mu      sync.Mutex         // guards what follows
	waiting map[*nats.Msg]bool // messages that wait for the ack of their first attempt
	failed  Unconfirmed
}

// Failure is a message that was not acknowledged.
type Failure struct {
	ID  string
	Msg *nats.Msg // as it was published
	Err error
}

// Unconfirmed is the error of [Publisher.Flush]: the messages that were not acknowledged.
type Unconfirmed []Failure

func (u Unconfirmed) Error() string {
	return fmt.Sprintf("durable: %d messages are not confirmed; the first is %s: %v", len(u), u[0].ID, u[0].Err)
}

// Unwrap returns the error of each message.
func (u Unconfirmed) Unwrap() (errs []error) {
	for _, f := range u {
		errs = append(errs, f.Err)
	}
	return errs
}

// NewPublisher finds or creates the stream of topic. The context bounds this call only.
func NewPublisher(ctx context.Context, js jetstream.JetStream, topic string, cfg Config) (*Publisher, error) {
	want, err := StreamConfig(topic, cfg)
	if err != nil {
		return nil, err
	}
	if _, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind); err != nil {
		return nil, fmt.Errorf("durable: publisher of %s: %w", topic, err)
	}
	cfg, _ = cfg.normal() // valid: StreamConfig returned no error
	slots := int64(cfg.MaxInFlight)
	p := &Publisher{topic: topic, js: js, slots: semaphore.NewWeighted(slots), maxInFlight: slots, waiting: map[*nats.Msg]bool{}}
	p.async, err = jetstream.New(js.Conn(),
		jetstream.WithPublishAsyncMaxPending(cfg.MaxInFlight), jetstream.WithPublishAsyncTimeout(attemptTimeout),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, _ *jetstream.PubAck) {
			if p.resolve(m) {
				p.slots.Release(1)
			}
		}),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, _ error) { p.retry(m) }))
	if err != nil {
		return nil, fmt.Errorf("durable: publisher of %s: %w", topic, err)
	}
	p.retries, p.stopRetries = context.WithCancel(context.WithoutCancel(ctx))
	return p, nil
}

// Send publishes msg as the message id. It waits only while MaxInFlight messages are in
// flight. Nil does not mean that the message is stored: call Flush. After a message has
// failed, Send returns ErrUnconfirmed until Flush has returned the failures.
func (p *Publisher) Send(ctx context.Context, id string, msg *nats.Msg) error {
	m, err := prepare(p.topic, id, msg, p.js.Conn().MaxPayload())
	if err != nil {
		return err
	}
	if err := p.admit(ctx, m); err != nil {
		return fmt.Errorf("durable: send %s: %w", id, err)
	}
	if !p.js.Conn().IsConnected() { // nats.go would send it after the reconnect
		p.retry(m)
		return nil
	}
	if _, err := p.async.PublishMsgAsync(m); err != nil {
		p.retry(m)
	}
	return nil
}

// admit waits for a slot, and gives it to m if m may be sent.
func (p *Publisher) admit(ctx context.Context, m *nats.Msg) (err error) {
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.retries.Err() != nil:
		err = ErrClosed
	case len(p.failed) > 0:
		err = fmt.Errorf("%w: %d earlier messages failed; call Flush", ErrUnconfirmed, len(p.failed))
	case p.js.Conn().IsClosed():
		err = nats.ErrConnectionClosed
	default:
		p.waiting[m] = true
		return nil
	}
	p.slots.Release(1)
	return err
}

// resolve ends the first attempt of m. It returns true once for each message: nats.go can
// report two errors of an attempt.
func (p *Publisher) resolve(m *nats.Msg) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := p.waiting[m]
	delete(p.waiting, m)
	return first
}

// retry publishes m until it is acknowledged or fails. Meanwhile m keeps its slot, so at
// most MaxInFlight retries run.
func (p *Publisher) retry(m *nats.Msg) {
	if !p.resolve(m) {
		return
	}
	go func() {
		defer p.slots.Release(1)
		_, err := publish(p.retries, p.js, p.topic, m)
		if err == nil {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failed = append(p.failed, Failure{ID: lastToken(m.Subject), Msg: m, Err: err})
	}()
}

// Flush waits until each message that was sent before is acknowledged or has failed. Nil
// means that all are stored. Otherwise it returns [Unconfirmed], which names each failed
// message once. When ctx ends first, the messages stay in flight for the next Flush.
func (p *Publisher) Flush(ctx context.Context) error {
	if err := p.slots.Acquire(ctx, p.maxInFlight); err != nil { // with all slots, no message is in flight
		return fmt.Errorf("durable: flush: messages are in flight: %w", err)
	}
	defer p.slots.Release(p.maxInFlight)
	p.mu.Lock()
	defer p.mu.Unlock()
	failed := p.failed
	p.failed = nil
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// Close flushes. Messages that are in flight when ctx ends are returned as [Unconfirmed].
func (p *Publisher) Close(ctx context.Context) error {
	err := p.Flush(ctx)
	p.stopRetries()
	p.async.CleanupPublisher()       // first attempts without an ack fail now
	defer p.async.CleanupPublisher() // after a concurrent Send
	return errors.Join(err, p.Flush(context.WithoutCancel(ctx)))
}
