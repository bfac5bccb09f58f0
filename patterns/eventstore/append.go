package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Conflict reports that an entity is not at the expected version. Load the events
// after Expected, and decide again.
type Conflict struct {
	Entity           string
	Expected, Actual Version
}

func (c *Conflict) Error() string {
	return fmt.Sprintf("%s is at version %d, not %d", c.Entity, c.Actual.N, c.Expected.N)
}

// Append adds events, all or none, to an entity at version at, and returns the new
// version. The zero Version is that of a new entity. It returns a *[Conflict] if the
// entity is at another version.
//
// Append retries until it knows the outcome or ctx ends. The caller may retry later,
// too: the same events at the same version are stored once.
func (s *Store) Append(ctx context.Context, id string, at Version, events ...Event) (Version, error) {
	now, err := s.append(ctx, id, at, events)
	return now, wrap(err, "append to "+id)
}

func (s *Store) append(ctx context.Context, id string, at Version, events []Event) (Version, error) {
	if err := checkID(id); err != nil {
		return Version{}, err
	}
	if len(events) == 0 {
		return Version{}, fmt.Errorf("%w: append at least one", ErrEvent)
	}
	if len(events) > maxBatch {
		return Version{}, fmt.Errorf("%w: %d events; append at most %d at once", ErrTooLarge, len(events), maxBatch)
	}
	msgs := make([]*nats.Msg, len(events))
	for i, e := range events {
		if err := e.check(); err != nil {
			return Version{}, err
		}
		msgs[i] = &nats.Msg{Subject: s.eventSubject(id, at.N+uint64(i)+1, e.Type), Data: e.Data, Header: nats.Header{HeaderID: {e.ID}}}
	}
	return s.publish(ctx, id, at, events, msgs)
}

// publish stores msgs, all or none, if the entity is at version at.
func (s *Store) publish(ctx context.Context, id string, at Version, events []Event, msgs []*nats.Msg) (Version, error) {
	msgs[0].Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, s.entitySubject(id))
	msgs[0].Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(at.Seq, 10))
	return retry(ctx, s, func(ctx context.Context) (Version, error) {
		seq, err := publishBatch(ctx, s.js.Conn(), msgs, true)
		if isConflict(err) {
			return s.resolveConflict(ctx, id, at, events)
		}
		if errors.Is(err, nats.ErrMaxPayload) || apiCode(err) == codeBatchTooLarge {
			return Version{}, fmt.Errorf("%w: %w; store the document elsewhere and its address here", ErrTooLarge, err)
		}
		if err != nil {
			return Version{}, err
		}
		return Version{at.N + uint64(len(events)), seq}, nil
	})
}

// resolveConflict returns nil if events are already stored (a retry), or a *Conflict.
func (s *Store) resolveConflict(ctx context.Context, id string, at Version, events []Event) (Version, error) {
	head, err := s.lastEvent(ctx, s.entitySubject(id))
	if err != nil {
		return Version{}, err
	}
	if head.Version.Seq == at.Seq {
		return Version{}, errUnknown
	}
	n, last := len(events), head
	if end := at.N + uint64(n); n > 0 && end != head.Version.N {
		if last, err = s.lastEvent(ctx, s.eventSubject(id, end, "*")); err != nil {
			return Version{}, err
		}
	}
	if n > 0 && last.ID == events[n-1].ID { // the server stores all events of an Append or none
		return last.Version, nil
	}
	return Version{}, &Conflict{id, at, head.Version}
}

const (
	codeIncompleteBatch jetstream.ErrorCode = 10176 // JSAtomicPublishIncompleteBatchErr: a message of the batch was lost
	codeBatchTooLarge   jetstream.ErrorCode = 10199 // JSAtomicPublishTooLargeBatchErrF
)

// errUnknown reports a lost reply, or a conflict with an event that is not stored yet.
var errUnknown = errors.New("the outcome is not known")

// retry makes a call that is safe to repeat, until the outcome is known or ctx ends.
func retry[T any](ctx context.Context, s *Store, call func(context.Context) (T, error)) (T, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
	}
	for backoff := 4 * time.Millisecond; ; backoff = min(2*backoff, 256*time.Millisecond) {
		attempt, done := context.WithTimeout(ctx, 2*time.Second)
		v, err := call(attempt)
		if errors.Is(err, nats.ErrNoResponders) { // the stream has no leader for now, or does not exist
			if _, missing := s.js.Stream(attempt, streamName(s.name)); isGone(missing) {
				err = missing
			}
		}
		done()
		if err == nil || isPermanent(err) {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, fmt.Errorf("%w, after %w; call again with the same arguments", ctx.Err(), err)
		case <-time.After(backoff/2 + rand.N(backoff)): // with jitter: many calls can fail at once
		}
	}
}

// isPermanent reports whether the same call would fail again.
func isPermanent(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) { // 429: too many open batches or requests
		return api.Code != http.StatusTooManyRequests && api.ErrorCode != codeIncompleteBatch && api.ErrorCode != codeNoLeader
	}
	return !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, errUnknown)
}
