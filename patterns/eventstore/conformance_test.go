package eventstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

func TestConformance(t *testing.T) {
	for name, storage := range map[string]jetstream.StorageType{"on file": jetstream.FileStorage, "in memory": jetstream.MemoryStorage} {
		t.Run(name, func(t *testing.T) {
			conform(t, func(t *testing.T, name string) *nats.Conn { return natstest.Start(t).Connect(name) }, eventstore.Config{Storage: storage})
		})
	}
}

// conform is what holds on any server, on the real clock: connect gives a new
// connection to one.
func conform(t *testing.T, connect func(t *testing.T, name string) *nats.Conn, cfg eventstore.Config) {
	nc := connect(t, "conformance")
	js := natstest.JetStream(t, nc)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	name := strings.ToLower("accounts-" + nats.NewInbox()[7:13])
	store, err := eventstore.New(ctx, js, name, cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = js.DeleteStream(ctx, strings.ToUpper(name)) // the server may not be ours
	})
	at := 300
	if cfg.Storage == jetstream.FileStorage && cfg.Replicas <= 1 {
		at = 80 // every batch is an fsync there, and 50 are in flight at most on any
	}
	for _, tc := range []struct {
		name string
		test func(t *testing.T, ctx context.Context, store *eventstore.Store)
	}{
		{"one event at a time and many at once make one history", one},
		{"of two who decide on the same version one is told of the other", conflict},
		{"of thirty who decide at once one succeeds", rivals},
		{"a batch that conflicts leaves nothing", allOrNone},
		{"an append retried later is done already", retried},
		{"a thousand events at once, and a history of three pages", long},
		{"hundreds of appends at once all succeed", crowd(at)},
		{"a snapshot spares the events before it", snapshots},
		{"a tombstone ends a history, erasure leaves only the tombstone", erased},
		{"a long history erased and begun again is found", begunAgain},
		{"a subscription is told what is stored", told},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, ctx, store) })
	}
}

func events(tb testing.TB, ids ...string) (events []eventstore.Event) {
	tb.Helper()
	for i, id := range ids {
		e, err := eventstore.NewEvent(id, "deposited", map[string]int{"amount": i + 1})
		require.NoError(tb, err)
		events = append(events, e)
	}
	return events
}

func numbered(tb testing.TB, prefix string, n int) []eventstore.Event {
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("%s-%d", prefix, i))
	}
	return events(tb, ids...)
}

// history is what Load yields, "id@version" each.
// history loads the events of an entity that are after a version.
func history(tb testing.TB, ctx context.Context, store *eventstore.Store, id string, after eventstore.Version) (got []string, v eventstore.Version) {
	tb.Helper()
	v = after
	for e, err := range store.Load(ctx, id, after) {
		require.NoError(tb, err)
		require.Equal(tb, id, e.Entity)
		got, v = append(got, fmt.Sprintf("%s@%d", e.ID, e.Version.N)), e.Version
	}
	return got, v
}

// settled is history once there are n events: in a cluster, any replica answers, and
// may need a moment until it has them, or has lost what was erased.
func settled(tb testing.TB, ctx context.Context, store *eventstore.Store, id string, after eventstore.Version, n int) (got []string, v eventstore.Version) {
	tb.Helper()
	natstest.Eventually(tb, 5*time.Second, func(context.Context) error {
		if got, v = history(tb, ctx, store, id, after); len(got) != n {
			return fmt.Errorf("%d events of %s, want %d: %.200q", len(got), id, n, got)
		}
		return nil
	})
	return got, v
}

func one(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v1, err := store.Append(ctx, "one", eventstore.Version{}, events(t, "a")...)
	require.NoError(t, err)
	v3, err := store.Append(ctx, "one", v1, events(t, "b", "c")...)
	require.NoError(t, err)
	v4, err := store.Append(ctx, "one", v3, events(t, "d")...)
	require.NoError(t, err)
	got, v := settled(t, ctx, store, "one", eventstore.Version{}, 4)
	require.Equal(t, []string{"a@1", "b@2", "c@3", "d@4"}, got)
	require.Equal(t, v4, v)
	got, _ = settled(t, ctx, store, "one", v1, 3)
	require.Equal(t, []string{"b@2", "c@3", "d@4"}, got)
	got, _ = settled(t, ctx, store, "nobody", eventstore.Version{}, 0)
	require.Empty(t, got)
	for e, err := range store.Load(ctx, "one", v3) {
		require.NoError(t, err)
		var body struct{ Amount int }
		require.NoError(t, e.Decode(&body))
		require.Equal(t, 1, body.Amount)
		require.Equal(t, "deposited", e.Type)
		require.WithinDuration(t, time.Now(), e.Time, time.Minute)
	}
	for range store.Load(ctx, "one", eventstore.Version{}) {
		break // and nothing is left behind
	}
}

func conflict(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v1, err := store.Append(ctx, "two", eventstore.Version{}, events(t, "a")...)
	require.NoError(t, err)
	v2, err := store.Append(ctx, "two", v1, events(t, "b")...)
	require.NoError(t, err)
	for _, at := range []eventstore.Version{{}, v1, {N: 9, Seq: v2.Seq + 1}} {
		_, err = store.Append(ctx, "two", at, events(t, "late")...)
		var c *eventstore.Conflict
		require.ErrorAs(t, err, &c)
		require.Equal(t, &eventstore.Conflict{Entity: "two", Expected: at, Actual: v2}, c)
	}
	_, err = store.Append(ctx, "never", v1, events(t, "b")...)
	require.EqualError(t, err, "eventstore: append to never: never is at version 0, not 1")
}

func allOrNone(t *testing.T, ctx context.Context, store *eventstore.Store) {
	_, err := store.Append(ctx, "all", eventstore.Version{}, events(t, "a")...)
	require.NoError(t, err)
	_, err = store.Append(ctx, "all", eventstore.Version{}, events(t, "b", "c", "d")...)
	var c *eventstore.Conflict
	require.ErrorAs(t, err, &c)
	got, _ := settled(t, ctx, store, "all", eventstore.Version{}, 1)
	require.Equal(t, []string{"a@1"}, got)
}

func retried(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v1, err := store.Append(ctx, "again", eventstore.Version{}, events(t, "a")...)
	require.NoError(t, err)
	v3, err := store.Append(ctx, "again", v1, events(t, "b", "c")...)
	require.NoError(t, err)
	_, err = store.Append(ctx, "again", v3, events(t, "d")...)
	require.NoError(t, err)
	for range 2 {
		v, err := store.Append(ctx, "again", eventstore.Version{}, events(t, "a")...)
		require.NoError(t, err)
		require.Equal(t, v1, v)
		v, err = store.Append(ctx, "again", v1, events(t, "b", "c")...)
		require.NoError(t, err)
		require.Equal(t, v3, v)
	}
	_, err = store.Append(ctx, "again", v1, events(t, "x", "y")...) // others at the same version are not it
	var c *eventstore.Conflict
	require.ErrorAs(t, err, &c)
	got, _ := settled(t, ctx, store, "again", eventstore.Version{}, 4)
	require.Equal(t, []string{"a@1", "b@2", "c@3", "d@4"}, got)
}

func long(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v, err := store.Append(ctx, "long", eventstore.Version{}, numbered(t, "e", 1000)...)
	require.NoError(t, err)
	got, last := settled(t, ctx, store, "long", eventstore.Version{}, 1000)
	require.Len(t, got, 1000)
	require.Equal(t, v, last)
	v, err = store.Append(ctx, "long", v, numbered(t, "f", 500)...) // past what the server looks through at once
	require.NoError(t, err)
	got, last = settled(t, ctx, store, "long", eventstore.Version{}, 1500)
	require.Len(t, got, 1500)
	require.Equal(t, v, last)
	got, _ = settled(t, ctx, store, "long", v, 0)
	require.Empty(t, got)
}

func crowd(n int) func(t *testing.T, ctx context.Context, store *eventstore.Store) {
	return func(t *testing.T, ctx context.Context, store *eventstore.Store) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				_, err := store.Append(ctx, fmt.Sprintf("crowd-%d", i), eventstore.Version{}, numbered(t, "e", 3)...)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		for i := range n {
			got, _ := settled(t, ctx, store, fmt.Sprintf("crowd-%d", i), eventstore.Version{}, 3)
			require.Equal(t, []string{"e-0@1", "e-1@2", "e-2@3"}, got)
		}
	}
}
