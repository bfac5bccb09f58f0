// Code generated from internal/shared by make stamp; DO NOT EDIT.

package sse

import (
	"context"
	"errors"
	"fmt"
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
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jetstream.ErrConnectionClosed) || errors.Is(err, jetstream.ErrStreamNotFound) ||
		errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted)
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

// setDefault sets a Config field that is zero, and refuses a value below least or above
// most.
func setDefault[T ~int | ~int64](field string, v *T, value, least T, most ...T) error {
	if *v == 0 {
		*v = value
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v; use at least %v", ErrConfig, field, *v, least)
	}
	if len(most) > 0 && *v > most[0] {
		return fmt.Errorf("%w: %s is %v; use at most %v", ErrConfig, field, *v, most[0])
	}
	return nil
}
