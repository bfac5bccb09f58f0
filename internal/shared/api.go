package shared

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// codeNoLeader is JSClusterNotAvailErr: the cluster has no meta leader yet.
const codeNoLeader jetstream.ErrorCode = 10008

// maxBatch is the server's limit of messages in an atomic batch.
const maxBatch = 1000

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

// isConflict reports whether the server refused a publish because the expected
// last sequence was wrong. Replicated streams use a code of their own.
func isConflict(err error) bool {
	code := apiCode(err)
	return code == jetstream.JSErrCodeStreamWrongLastSequence || code == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// isTooLarge reports whether the client or the stream refused a message because of its
// size, or that of its headers.
func isTooLarge(err error) bool {
	const headerTooLarge jetstream.ErrorCode = 10097 // JSStreamHeaderExceedsMaximumErr
	code := apiCode(err)
	return errors.Is(err, nats.ErrMaxPayload) || code == headerTooLarge || code == jetstream.JSErrCodeStreamMessageExceedsMaximum
}

// isGone reports whether err means that the connection is closed, or that the
// stream, bucket or consumer does not exist: waiting does not help.
func isGone(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConnectionClosed) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted)
}

// checkConsumer returns an error if cons cannot deliver any more. It returns nil if
// cause is temporary: a disconnect, or the election of a leader.
func checkConsumer(ctx context.Context, cons jetstream.Consumer, cause error) error {
	if isGone(cause) {
		return cause
	}
	if _, err := callAPI(ctx, cons.Info); isGone(err) {
		return err
	}
	return nil
}
