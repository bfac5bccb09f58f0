package eventstore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/eventstore"
)

func snapshots(t *testing.T, ctx context.Context, store *eventstore.Store) {
	type state struct{ Balance int }
	var s state
	v, err := store.Snapshot(ctx, "snap", &s)
	require.NoError(t, err)
	require.Zero(t, v)
	v3, err := store.Append(ctx, "snap", v, events(t, "a", "b", "c")...)
	require.NoError(t, err)
	require.NoError(t, store.SaveSnapshot(ctx, "snap", v3, state{6}))
	v4, err := store.Append(ctx, "snap", v3, events(t, "d")...)
	require.NoError(t, err)

	err = store.SaveSnapshot(ctx, "snap", v3, state{-1}) // late: the entity has moved on
	var c *eventstore.Conflict
	require.ErrorAs(t, err, &c)
	require.Equal(t, v4, c.Actual)

	v, err = store.Snapshot(ctx, "snap", &s)
	require.NoError(t, err)
	require.Equal(t, v3, v)
	require.Equal(t, 6, s.Balance)
	got, _ := eventuallyHistory(t, ctx, store, "snap", v, 1)
	require.Equal(t, []string{"d@4"}, got)

	require.NoError(t, store.SaveSnapshot(ctx, "snap", v4, state{7}))
	v, err = store.Snapshot(ctx, "snap", &s)
	require.NoError(t, err)
	require.Equal(t, v4, v)
	_, err = store.Append(ctx, "snap", v, events(t, "e")...) // a snapshot is no event
	require.NoError(t, err)
}

func erased(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v2, err := store.Append(ctx, "gone", eventstore.Version{}, events(t, "a", "b")...)
	require.NoError(t, err)
	tombstone, err := eventstore.NewEvent("bye", eventstore.Deleted, nil)
	require.NoError(t, err)
	v3, err := store.Append(ctx, "gone", v2, tombstone)
	require.NoError(t, err)
	got, _ := eventuallyHistory(t, ctx, store, "gone", eventstore.Version{}, 3)
	require.Equal(t, []string{"a@1", "b@2", "bye@3"}, got)

	for range 2 { // the second time finds it done
		require.NoError(t, store.Erase(ctx, "gone"))
		got, _ = eventuallyHistory(t, ctx, store, "gone", eventstore.Version{}, 1)
		require.Equal(t, []string{"bye@3"}, got)
		got, _ = eventuallyHistory(t, ctx, store, "gone", eventstore.Version{N: 1, Seq: 1}, 1)
		require.Equal(t, []string{"bye@3"}, got)
	}
	for _, at := range []eventstore.Version{{}, v2} { // neither a retry nor a late decision brings it back
		_, err = store.Append(ctx, "gone", at, events(t, "a")...)
		var c *eventstore.Conflict
		require.ErrorAs(t, err, &c)
		require.Equal(t, v3, c.Actual)
	}

	v1, err := store.Append(ctx, "person", eventstore.Version{}, events(t, "a")...)
	require.NoError(t, err)
	require.NoError(t, store.SaveSnapshot(ctx, "person", v1, "Ann"))
	require.NoError(t, store.Erase(ctx, "person"))
	var c *eventstore.Conflict
	require.ErrorAs(t, store.SaveSnapshot(ctx, "person", v1, "Ann"), &c)
	var name string
	_, err = store.Snapshot(ctx, "person", &name)
	require.NoError(t, err)
	require.Empty(t, name)
	require.NoError(t, store.Erase(ctx, "never-was"))
	got, _ = eventuallyHistory(t, ctx, store, "never-was", eventstore.Version{}, 0)
	require.Empty(t, got)
}

func begunAgain(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v, err := store.Append(ctx, "phoenix", eventstore.Version{}, numbered(t, "e", 600)...)
	require.NoError(t, err)
	require.NoError(t, store.Erase(ctx, "phoenix"))
	_, last := eventuallyHistory(t, ctx, store, "phoenix", eventstore.Version{}, 1)
	for range 2 {
		last, err = store.Append(ctx, "phoenix", last, numbered(t, "f", 700)...)
		require.NoError(t, err)
	}
	for _, after := range []eventstore.Version{{}, v} {
		got, end := eventuallyHistory(t, ctx, store, "phoenix", after, 1401)
		require.Len(t, got, 1401)
		require.Equal(t, last, end)
	}
}

func rivals(t *testing.T, ctx context.Context, store *eventstore.Store) {
	var wg sync.WaitGroup
	var won atomic.Int32
	for i := range 30 {
		wg.Go(func() {
			_, err := store.Append(ctx, "rivals", eventstore.Version{}, numbered(t, fmt.Sprint("by-", i), 1+i%2)...)
			var c *eventstore.Conflict
			if err == nil {
				won.Add(1)
			} else if assert.ErrorAs(t, err, &c) {
				assert.NotZero(t, c.Actual)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())
}

func received(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v2, err := store.Append(ctx, "feed", eventstore.Version{}, events(t, "a", "b")...)
	require.NoError(t, err)
	for _, tc := range []struct {
		name string
		cfg  eventstore.SubscriptionConfig
		want []string
	}{
		{"live, all", eventstore.SubscriptionConfig{Entity: "feed"}, []string{"a@1", "b@2", "c@3", "d@4"}},
		{"live, after one", eventstore.SubscriptionConfig{Entity: "feed", After: v2.Seq - 1}, []string{"b@2", "c@3", "d@4"}},
		{"live, new", eventstore.SubscriptionConfig{Entity: "feed", New: true}, []string{"c@3", "d@4"}},
		{"durable, all", eventstore.SubscriptionConfig{Entity: "feed", Durable: "all"}, []string{"a@1", "b@2", "c@3", "d@4"}},
		{"durable, of two types", eventstore.SubscriptionConfig{Entity: "feed", Durable: "two", Types: []string{"opened", "deposited"}}, []string{"a@1", "b@2", "c@3", "d@4"}},
		{"durable, new", eventstore.SubscriptionConfig{Entity: "feed", Durable: "new", New: true}, []string{"c@3", "d@4"}},
	} {
		sub, err := eventstore.NewSubscription(ctx, store, tc.cfg)
		require.NoError(t, err, tc.name)
		defer func() { // appended after all have subscribed
			var got []string
			ctx, stop := context.WithCancel(ctx)
			err := sub.Run(ctx, func(_ context.Context, e eventstore.Event) error {
				if got = append(got, fmt.Sprintf("%s@%d", e.ID, e.Version.N)); e.Version.N == 4 {
					stop()
				}
				return nil
			})
			require.NoError(t, err, tc.name)
			require.Equal(t, tc.want, slices.Compact(got), tc.name)
		}()
	}
	_, err = store.Append(ctx, "feed", v2, events(t, "c", "d")...)
	require.NoError(t, err)
}
