package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	tryTime  = 2 * time.Second  // how long one try of a call waits for its answer
	patience = 10 * time.Second // with a call whose context has no deadline
)

// errInProcess is a refusal that says nothing yet of the entity: an append to it,
// perhaps our own before its answer was lost, is on its way through the cluster.
var errInProcess = errors.New("another append is in process")

// retry makes a call that does no harm twice until its outcome is known.
func (s *Store) retry(ctx context.Context, call func(context.Context) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	for wait := 4 * time.Millisecond; ; wait = min(2*wait, 256*time.Millisecond) {
		try, done := context.WithTimeout(ctx, tryTime)
		err := call(try)
		done()
		if err == nil {
			return nil
		}
		if err := s.hopeless(ctx, err); err != nil {
			return err
		}
		select { // with jitter, as those turned away together would come back together
		case <-ctx.Done():
			return fmt.Errorf("%w, after %w; try the same again", ctx.Err(), err)
		case <-time.After(wait/2 + rand.N(wait)):
		}
	}
}

// hopeless returns why there is no use in trying again, or nil.
func (s *Store) hopeless(ctx context.Context, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse):
		// No leader for now, or no stream?
		ctx, cancel := context.WithTimeout(ctx, tryTime)
		defer cancel()
		if _, gone := s.js.Stream(ctx, s.stream.CachedInfo().Config.Name); errors.Is(gone, jetstream.ErrStreamNotFound) {
			return gone
		}
		return nil
	case errors.As(err, &api):
		switch {
		case api.Code == 429, // too many batches in flight, or too much of anything
			api.ErrorCode == 10176, // the batch lost a message on its way
			api.ErrorCode == 10008: // no meta leader
			return nil
		case api.ErrorCode == 10199:
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), errors.Is(err, errInProcess):
		return nil
	}
	return err
}

func isConflict(err error) bool {
	var api *jetstream.APIError
	return err != nil && errors.As(err, &api) && (api.ErrorCode == 10071 || api.ErrorCode == 10164)
}
