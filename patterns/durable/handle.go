package durable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// handle handles a message and settles it: failed is the handler's error, and err
// why there can be no next one.
func (s *Subscriber) handle(ctx context.Context, handle Handler, msg jetstream.Msg) (failed, err error) {
	s.hand.Store(&msg)
	defer s.hand.Store(nil)
	m, err := decode(msg)
	if err != nil {
		return nil, err
	}
	if m.Delivery == 1 || m.Seq != s.done.Load() { // or else it is done, and only the ack was lost
		failed = handle(ctx, m)
	}
	switch {
	case failed == nil:
		s.done.Store(m.Seq)
		return nil, s.confirm(ctx, msg, m.Seq)
	case errors.Is(failed, ErrPoison):
		s.cfg.Log.Error("durable: a message is passed over", "subscriber", s.name, "id", m.ID, "seq", m.Seq, "err", failed)
		_ = msg.TermWithReason(fmt.Sprintf("%.1000s", failed)) // lost, it comes again and ends the same way
		return nil, nil
	default:
		s.cfg.Log.Warn("durable: a message comes again", "subscriber", s.name, "id", m.ID, "seq", m.Seq, "err", failed)
		wait := s.cfg.Backoff
		for n := m.Delivery; n > 1 && wait < time.Minute; n-- {
			wait = min(2*wait, time.Minute)
		}
		_ = msg.NakWithDelay(wait) // lost, it comes after AckWait
		return failed, nil
	}
}

// confirm acks until the server says that it has heard, as the next process of
// this name would otherwise do the message again. When ctx has ended, one try is all.
func (s *Subscriber) confirm(ctx context.Context, msg jetstream.Msg, seq uint64) error {
	for {
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryTime)
		err := msg.DoubleAck(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			s.cfg.Log.Warn("durable: the last ack is not confirmed; its message may be handled again", "subscriber", s.name, "err", err)
			return nil
		case <-time.After(100 * time.Millisecond):
		}
		if err := s.gone(ctx, err); err != nil {
			return err
		}
		if info, err := callAPI(ctx, s.cons.Info); err == nil && info.Delivered.Stream < seq {
			return nil // Reset has sent it back, and the server answers no ack from before
		}
	}
}

// gone returns an error if there is nothing left to take messages from.
func (s *Subscriber) gone(ctx context.Context, cause error) error {
	if errors.Is(cause, nats.ErrConnectionClosed) || errors.Is(cause, jetstream.ErrConnectionClosed) || errors.Is(cause, jetstream.ErrConsumerDeleted) {
		return cause
	}
	_, err := callAPI(ctx, s.cons.Info)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrConnectionClosed) {
		return err
	}
	s.cfg.Log.Debug("durable: no messages for now", "subscriber", s.name, "err", cause)
	return nil
}

func (s *Subscriber) edge(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("durable: subscriber %s: %w", s.name, err)
}
