package durable

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Reset sends the subscriber, in whatever process it runs, back (or forth) to the
// message seq, which is the next that it handles; 0 is the oldest there is. Needs
// NATS 2.14.
func (s *Subscriber) Reset(ctx context.Context, seq uint64) error {
	_, err := callAPI(ctx, func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
		return s.stream.ResetConsumerToSequence(ctx, s.name, max(seq, 1))
	})
	s.done.Store(0) // what it did last, it is to do again
	return s.edge(err)
}

// Replay calls handle for each message stored from seq on, in order, until the last
// there is when it begins. It does not move any subscriber. It ends with the first
// error of handle, and returns the sequence to go on from.
func Replay(ctx context.Context, js jetstream.JetStream, topic string, seq uint64, handle Handler) (next uint64, err error) {
	if err := checkID(topic); err != nil {
		return seq, err
	}
	if handle == nil {
		return seq, fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	next = max(seq, 1)
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, "DURABLE_"+topic) })
	if err == nil {
		next, err = replay(ctx, s, next, s.CachedInfo().State.LastSeq, handle)
	}
	if err != nil {
		return next, fmt.Errorf("durable: replay %s at %d: %w", topic, next, err)
	}
	return next, nil
}

func replay(ctx context.Context, s jetstream.Stream, next, last uint64, handle Handler) (uint64, error) {
	subject := jetstream.WithGetMsgSubject(s.CachedInfo().Config.Subjects[0])
	for next <= last {
		raw, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, next, subject) })
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return last + 1, nil // the rest has been removed
		}
		if err == nil && raw.Sequence <= last {
			err = handle(ctx, Message{ID: id(raw.Subject), Header: raw.Header, Data: raw.Data, Seq: raw.Sequence, Time: raw.Time, Delivery: 1})
		}
		if err != nil {
			return next, err
		}
		next = min(raw.Sequence, last) + 1
	}
	return next, nil
}
