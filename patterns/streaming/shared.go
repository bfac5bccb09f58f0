// Code generated from internal/shared by stamp; DO NOT EDIT.

package streaming

import (
	"context"
	"errors"
	"fmt"
	"github.com/nats-io/nats.go/jetstream"
	"reflect"
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

// need is a field of an existing stream or consumer that must be as wanted.
type need struct {
	field      string
	want, have any
}

func ensureStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, bind bool,
	needs func(have jetstream.StreamConfig) []need) (jetstream.Stream, error) {
	find := func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, want.Name) }
	s, err := ask(ctx, find)
	if errors.Is(err, jetstream.ErrStreamNotFound) && !bind {
		s, err = ask(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateStream(ctx, want) })
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // someone else was quicker
			s, err = ask(ctx, find)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", want.Name, err)
	}
	return s, compare("stream "+want.Name, needs(s.CachedInfo().Config))
}

func compare(what string, needs []need) error {
	for _, n := range needs {
		if !reflect.DeepEqual(n.want, n.have) {
			return fmt.Errorf("%w: %s has %s %v, want %v", ErrMismatch, what, n.field, n.have, n.want)
		}
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
