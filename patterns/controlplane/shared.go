// Code generated from internal/shared by stamp; DO NOT EDIT.

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"github.com/nats-io/nats.go/jetstream"
	"time"
)

// checkID refuses what cannot be one token of a subject.
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

// ask makes a management call. Its answer can be lost while a cluster elects a
// leader, and nats.go would then wait for as long as ctx lasts: so each try has
// 2s, and all of them 10s.
func ask[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, 2*time.Second)
		v, err := call(try)
		done()
		var api *jetstream.APIError
		unsettled := errors.As(err, &api) && api.ErrorCode == 10008 // no meta leader yet
		if ctx.Err() != nil || !unsettled && !errors.Is(err, context.DeadlineExceeded) {
			return v, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}
