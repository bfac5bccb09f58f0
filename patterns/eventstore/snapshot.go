package eventstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SaveSnapshot replaces the snapshot of an entity, from which Load can start. It
// returns a *[Conflict] if the entity is at another version: a snapshot never replaces
// a newer one, and none appears after Erase.
func (s *Store) SaveSnapshot(ctx context.Context, id string, at Version, state any) error {
	if err := checkID(id); err != nil {
		return err
	}
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("%w: snapshot of %s: %w", ErrEvent, id, err)
	}
	m := &nats.Msg{Subject: s.snapshotSubject(id), Data: data, Header: nats.Header{
		HeaderVersion:       {fmt.Sprintf("%d %d", at.N, at.Seq)},
		jetstream.MsgRollup: {jetstream.MsgRollupSubject},
	}}
	_, err = s.publish(ctx, id, at, nil, []*nats.Msg{m})
	return wrap(err, "save the snapshot of "+id)
}

// Snapshot reads the latest snapshot of an entity into state and returns its version,
// from which to Load. Without a snapshot it returns the zero Version and does not
// change state. After an error, Load from the zero Version into a new state.
func (s *Store) Snapshot(ctx context.Context, id string, state any) (Version, error) {
	if err := checkID(id); err != nil {
		return Version{}, err
	}
	// From the leader: a replica can still have a snapshot that was erased.
	m, err := retry(ctx, s, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return lastMessage(ctx, s.js, streamName(s.name), s.snapshotSubject(id))
	})
	if err != nil || m == nil {
		return Version{}, wrap(err, "read the snapshot of "+id)
	}
	var at Version
	_, err = fmt.Sscan(m.Header.Get(HeaderVersion), &at.N, &at.Seq)
	if err := errors.Join(err, json.Unmarshal(m.Data, state)); err != nil {
		return Version{}, fmt.Errorf("%w: snapshot of %s: %w", ErrEvent, id, err)
	}
	return at, nil
}

// Erase removes the events and the snapshot of an entity, at any version. Only a
// tombstone remains, which subscriptions receive. Copies in mirrors, backups and
// databases of subscribers remain. Call Erase again if it returned an error.
func (s *Store) Erase(ctx context.Context, id string) error {
	if err := checkID(id); err != nil {
		return err
	}
	_, err := retry(ctx, s, func(ctx context.Context) (any, error) { return nil, s.erase(ctx, id) })
	return wrap(err, "erase "+id)
}

func (s *Store) erase(ctx context.Context, id string) error {
	head, err := s.lastEvent(ctx, s.entitySubject(id))
	if err != nil || head.Version.N == 0 {
		return err
	}
	if head.Type != Deleted {
		_, err = s.append(ctx, id, head.Version, []Event{{ID: rand.Text(), Type: Deleted}})
		if c := new(Conflict); err != nil && !errors.As(err, &c) {
			return err
		}
		return s.erase(ctx, id)
	}
	for _, subject := range []string{s.entitySubject(id), s.snapshotSubject(id)} { // late appends and snapshots are rejected from now on
		err = errors.Join(err, s.stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(head.Version.Seq)))
	}
	return err
}
