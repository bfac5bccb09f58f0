package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// pollWait is how long Poll waits for a message. It waits, since a message that becomes
// available while a fetch without a wait ends is redelivered only after AckWait.
const pollWait = 100 * time.Millisecond

// Subscriber is a subscriber of a topic with a name. The server stores how far the name
// has come, so another process with the name continues where this one stopped. If two
// run at once, each message goes to one of them. Only after a disconnect longer than
// AckWait can both receive it.
type Subscriber struct {
	cfg      Config
	name     string
	js       jetstream.JetStream
	stream   jetstream.Stream
	consumer jetstream.Consumer
	ran      atomic.Bool
	handled  atomic.Uint64                 // sequence of the last message that was handled
	inFlight atomic.Pointer[jetstream.Msg] // the message that is being handled
}

// NewSubscriber finds or creates the stream of topic and the consumer name, which begins
// at the oldest message. The context bounds this call only.
func NewSubscriber(ctx context.Context, js jetstream.JetStream, topic, name string, cfg Config) (*Subscriber, error) {
	wantStream, err := StreamConfig(topic, cfg)
	if err != nil {
		return nil, err
	}
	wantConsumer, err := ConsumerConfig(name, cfg)
	if err != nil {
		return nil, err
	}
	cfg, _ = cfg.normal() // valid: StreamConfig returned no error
	s := &Subscriber{cfg: cfg, name: name, js: js}
	s.stream, err = ensure(ctx, streamOf(js, wantStream.Name), wantStream, cfg.Bind)
	if err != nil {
		return nil, s.wrap(err)
	}
	s.consumer, err = ensure(ctx, consumerOf(s.stream, name), wantConsumer, cfg.Bind, "MaxAckPending") // 1 keeps the order
	if err != nil {
		return nil, s.wrap(err)
	}
	return s, nil
}

// Run calls handle for each message as it arrives. When ctx ends, Run finishes the
// running handler, whose context ends after Grace, and returns nil. It returns an error
// only if it cannot continue. It may be called once.
func (s *Subscriber) Run(ctx context.Context, handle Handler) error {
	if handle == nil {
		return fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	if s.ran.Swap(true) {
		return ErrAlreadyRun
	}
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	work, stop := s.startWork(running)
	defer stop()
	wait, err := consume(running, s.js.Conn(), s.consumer, s.cfg.Log, fail, func(msg jetstream.Msg) {
		if _, err := s.handle(work, handle, msg); err != nil {
			fail(err)
		}
	}, jetstream.PullMaxMessages(100), jetstream.PullHeartbeat(5*time.Second))
	if err != nil {
		return s.wrap(err)
	}
	<-running.Done()
	wait()
	if ctx.Err() != nil {
		return nil
	}
	return s.wrap(context.Cause(running))
}

// Poll calls handle for each message that is stored, at most limit. It returns the number
// of messages that were handled, when there is none left, one has failed, or ctx ends. A
// message that failed is available again after its backoff.
func (s *Subscriber) Poll(ctx context.Context, limit int, handle Handler) (n int, err error) {
	if handle == nil {
		return 0, fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	work, stop := s.startWork(ctx)
	defer stop()
	for n < limit && ctx.Err() == nil {
		msg, err := s.consumer.Next(jetstream.FetchMaxWait(pollWait))
		if err != nil {
			return n, s.wrap(s.checkPoll(ctx, err))
		}
		failed, err := s.handle(work, handle, msg)
		if err = cmp.Or(failed, err); err != nil {
			return n, s.wrap(err)
		}
		n++
	}
	return n, nil
}

// checkPoll returns nil if Poll received no message because none is stored.
func (s *Subscriber) checkPoll(ctx context.Context, err error) error {
	if !errors.Is(err, nats.ErrTimeout) {
		return checkConsumer(ctx, s.consumer, err)
	}
	if !s.js.Conn().IsConnected() {
		return nats.ErrDisconnected
	}
	return nil
}

// startWork returns the context of the handlers, which ends Grace after ctx. Until stop,
// the message that is being handled is kept in progress.
func (s *Subscriber) startWork(ctx context.Context) (work context.Context, stop func()) {
	work, cancel := withGrace(ctx, s.cfg.Grace)
	stopProgress := keepInProgress(s.cfg.AckWait, s.cfg.Log, func() []jetstream.Msg {
		if msg := s.inFlight.Load(); msg != nil {
			return []jetstream.Msg{*msg}
		}
		return nil
	})
	return work, func() { stopProgress(); cancel() }
}

// handle calls handle for msg, and then acks, naks or terminates msg. failed is the error
// of the handler. err means that the consumer cannot deliver any more.
func (s *Subscriber) handle(ctx context.Context, handle Handler, msg jetstream.Msg) (failed, err error) {
	s.inFlight.Store(&msg)
	defer s.inFlight.Store(nil)
	m, err := newMessage(msg)
	if err != nil {
		return nil, err
	}
	if m.Delivery == 1 || m.Sequence != s.handled.Load() { // otherwise only its ack was lost
		failed = callHandler(ctx, s.cfg.Log, m.Subject, handle, m)
	}
	if failed == nil {
		s.handled.Store(m.Sequence)
		return nil, s.ack(ctx, msg, m.Sequence)
	}
	log := s.cfg.Log.With("subscriber", s.name, "id", m.ID, "sequence", m.Sequence, "err", failed)
	if errors.Is(failed, ErrPoison) {
		log.Error("durable: terminated a poison message")
		warnIf(s.cfg.Log, "terminate", msg, msg.TermWithReason(errorText(failed)))
		return nil, nil
	}
	delay := redeliveryDelay(s.cfg.Backoff, m.Delivery)
	log.Warn("durable: a message failed", "retry in", delay)
	warnIf(s.cfg.Log, "nak", msg, msg.NakWithDelay(delay))
	return failed, nil
}

// ack acks msg until the server confirms the ack. Otherwise the next process with this
// name would handle msg again. After the end of ctx it makes one attempt.
func (s *Subscriber) ack(ctx context.Context, msg jetstream.Msg, sequence uint64) error {
	for {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
		err := msg.DoubleAck(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			warnIf(s.cfg.Log, "ack", msg, err)
			return nil
		case <-time.After(100 * time.Millisecond):
		}
		if err := checkConsumer(ctx, s.consumer, err); err != nil {
			return err
		}
		info, err := callAPI(ctx, s.consumer.Info)
		if err == nil && info.Delivered.Stream < sequence {
			return nil // after a Reset, the server confirms no ack from before
		}
	}
}

func (s *Subscriber) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("durable: subscriber %s: %w", s.name, err)
}
