package durable

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"
)

// Reset moves the subscriber back or forward, in all processes with its name: the next
// message that it handles is the one at sequence, or the oldest one for 0. Needs
// nats-server 2.14.
func (s *Subscriber) Reset(ctx context.Context, sequence uint64) error {
	_, err := callAPI(ctx, func(ctx context.Context) (*jetstream.ConsumerResetResponse, error) {
		return s.stream.ResetConsumerToSequence(ctx, s.name, max(sequence, 1))
	})
	s.handled.Store(0) // the last message can be handled again
	return s.wrap(err)
}

// Replay calls handle for each stored message from sequence on, in order. It ends after
// the message that was the last one when it began. It moves no subscriber, and ends with
// the first error of handle. It returns the sequence to continue at.
func Replay(ctx context.Context, js jetstream.JetStream, topic string, sequence uint64, handle Handler) (next uint64, err error) {
	if err := checkID(topic); err != nil {
		return sequence, err
	}
	if handle == nil {
		return sequence, fmt.Errorf("%w: the handler is nil", ErrConfig)
	}
	next = max(sequence, 1)
	stream, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, streamName(topic)) })
	if err != nil {
		return next, fmt.Errorf("durable: replay %s: %w", topic, err)
	}
	last := stream.CachedInfo().State.LastSeq
	for next <= last {
		next, err = replayOne(ctx, stream, next, last, handle)
		if err != nil {
			return next, fmt.Errorf("durable: replay %s at %d: %w", topic, next, err)
		}
	}
	return next, nil
}

// replayOne calls handle for the first message from sequence to last, and returns the
// sequence to continue at.
func replayOne(ctx context.Context, stream jetstream.Stream, sequence, last uint64, handle Handler) (next uint64, err error) {
	subject := jetstream.WithGetMsgSubject(stream.CachedInfo().Config.Subjects[0]) // it makes the server look for the next message
	raw, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return stream.GetMsg(ctx, sequence, subject)
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && raw.Sequence > last {
		return last + 1, nil // the rest was deleted
	}
	if err != nil {
		return sequence, err
	}
	msg := Message{ID: lastToken(raw.Subject), Subject: raw.Subject, Header: raw.Header, Data: raw.Data, Delivery: 1, Sequence: raw.Sequence, Time: raw.Time}
	err = callHandler(ctx, slog.New(slog.DiscardHandler), msg.Subject, handle, msg)
	if err != nil {
		return raw.Sequence, err
	}
	return raw.Sequence + 1, nil
}
