package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const hdrVersion = "Event-Version" // of a snapshot: "N Seq"

// SaveSnapshot keeps the state an entity had at a version, instead of any snapshot
// before, so that Load may begin there. An entity that has moved on is a *[Conflict]
// and nothing is kept: a snapshot is never older than the one it replaces, and none
// of an erased entity appears. Losing one costs time, never events.
func (s *Store) SaveSnapshot(ctx context.Context, id string, at Version, state any) error {
	if err := checkID(id); err != nil {
		return err
	}
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("%w: snapshot of %s: %w", ErrEvent, id, err)
	}
	m := &nats.Msg{Subject: s.snapshot(id), Data: data, Header: nats.Header{
		hdrVersion:          {fmt.Sprintf("%d %d", at.N, at.Seq)},
		jetstream.MsgRollup: {jetstream.MsgRollupSubject},
	}}
	if err := s.fits(m, "the snapshot of %s", id); err != nil {
		return err
	}
	return edge(s.retry(ctx, func(ctx context.Context) error {
		_, err := s.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequenceForSubject(at.Seq, s.events(id)))
		if !isConflict(err) {
			return err
		}
		head, err := s.refused(ctx, id, at)
		if err != nil {
			return err
		}
		return &Conflict{id, at, head.Version}
	}), "save the snapshot of "+id)
}

// Snapshot reads the latest snapshot of an entity into state and returns its
// version, from which to Load on; the zero Version, and state untouched, if there
// is none. On an error, Load from the zero Version into a fresh state.
func (s *Store) Snapshot(ctx context.Context, id string, state any) (Version, error) {
	if err := checkID(id); err != nil {
		return Version{}, err
	}
	var m *jetstream.RawStreamMsg
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		m, err = s.get(ctx, getRequest{LastFor: s.snapshot(id)}) // a replica may still have one that is erased
		return err
	})
	if err != nil || m == nil {
		return Version{}, edge(err, "read the snapshot of "+id)
	}
	var at Version
	if _, err = fmt.Sscan(m.Header.Get(hdrVersion), &at.N, &at.Seq); err == nil {
		err = json.Unmarshal(m.Data, state)
	}
	if err != nil {
		return Version{}, fmt.Errorf("%w: snapshot of %s: %w", ErrEvent, id, err)
	}
	return at, nil
}

// Erase removes an entity for good, at whatever version it is: all that is left of
// it in the store is a tombstone, which also tells subscribers. What they, mirrors
// and backups have copied is theirs to remove. It may be called again at any time,
// and must be if it failed.
func (s *Store) Erase(ctx context.Context, id string) (err error) {
	if err := checkID(id); err != nil {
		return err
	}
	defer func() { err = edge(err, "erase "+id) }()
	var head Event
	err = s.retry(ctx, func(ctx context.Context) (err error) {
		head, err = s.leader(ctx, getRequest{LastFor: s.events(id)})
		return err
	})
	if err != nil || head.Version == (Version{}) {
		return err
	}
	tombstone, err := NewEvent("", Deleted, nil)
	if err != nil {
		return err
	}
	for at := head.Version; head.Type != Deleted; {
		head.Version, err = s.Append(ctx, id, at, tombstone)
		var c *Conflict
		if errors.As(err, &c) {
			at = c.Actual
			continue
		}
		if err != nil {
			return err
		}
		break
	}
	// From here on no snapshot of what is to go can be saved: the tombstone refuses it.
	err = s.purge(ctx, s.events(id), head.Version.Seq)
	return errors.Join(err, s.purge(ctx, s.snapshot(id), head.Version.Seq))
}

func (s *Store) purge(ctx context.Context, subject string, before uint64) error {
	_, err := callAPI(ctx, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(before))
	})
	return err
}
