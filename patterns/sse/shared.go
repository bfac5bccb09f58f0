// Code generated from internal/shared by make stamp; DO NOT EDIT.

package sse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// codeNoLeader is JSClusterNotAvailErr: the cluster has no meta leader yet.
const codeNoLeader jetstream.ErrorCode = 10008

// callAPI makes a management call. The reply can be lost while a cluster elects a
// leader, and nats.go would wait for it until ctx ends. So an attempt takes at
// most 2 s, and all attempts together at most 10 s.
func callAPI[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 2*time.Second)
		v, err := call(attempt)
		done()
		if ctx.Err() != nil || apiCode(err) != codeNoLeader && !errors.Is(err, context.DeadlineExceeded) {
			return v, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// apiCode returns the JetStream error code in err, or 0.
func apiCode(err error) jetstream.ErrorCode {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return 0
	}
	return api.ErrorCode
}

// isGone reports whether err means that the connection is closed, or that the
// stream, bucket or consumer does not exist: waiting does not help.
func isGone(err error) bool {
	for _, gone := range []error{nats.ErrConnectionClosed, jetstream.ErrConnectionClosed, jetstream.ErrStreamNotFound,
		jetstream.ErrBucketNotFound, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerDeleted} {
		if errors.Is(err, gone) {
			return true
		}
	}
	return false
}

// checkID refuses an ID that cannot be one token of a subject.
func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("%w: %.80q; use 1 to 64 of A-Z a-z 0-9 _ -", ErrID, id)
	}
	return nil
}

// setDefault sets a Config field that is zero, and refuses a value below least.
func setDefault[T ~int | ~int64](field string, v *T, value, least T) error {
	if *v == 0 {
		*v = value
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v; use at least %v", ErrConfig, field, *v, least)
	}
	return nil
}

// readOrdered calls handle for each message of the stream that cfg selects, in stream
// order and once. It returns nil when ctx ends, and an error if the stream or the
// connection is gone. Unlike nats.go's ordered consumer, it can be stopped while it is
// disconnected, and it does not retry for ever on a deleted stream.
func readOrdered(ctx context.Context, js jetstream.JetStream, log *slog.Logger, stream string, cfg jetstream.ConsumerConfig,
	handle func(jetstream.Msg, *jetstream.MsgMetadata)) error {
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, 1, 30*time.Second
	for {
		cons, err := callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return js.CreateConsumer(ctx, stream, cfg) })
		if ctx.Err() == nil && isGone(err) {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		if err == nil {
			err = readConsumer(ctx, cons, &cfg, handle)
		}
		if ctx.Err() != nil {
			return nil
		}
		log.Warn("sse: reading is interrupted and continues with a new consumer", "stream", stream, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readConsumer returns at the first gap, after a disconnect, and when no heartbeat
// arrives. It moves the start of cfg behind each message.
func readConsumer(ctx context.Context, cons jetstream.Consumer, cfg *jetstream.ConsumerConfig, handle func(jetstream.Msg, *jetstream.MsgMetadata)) error {
	it, err := cons.Messages(jetstream.PullMaxMessages(2000), jetstream.PullExpiry(4*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return err
	}
	defer it.Stop()
	for want := uint64(1); ; want++ {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != want {
			return fmt.Errorf("message %d of the consumer arrived instead of %d", meta.Sequence.Consumer, want)
		}
		handle(msg, meta)
		if cfg.DeliverPolicy == jetstream.DeliverByStartSequencePolicy {
			cfg.OptStartSeq = meta.Sequence.Stream + 1
		}
	}
}
