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

// conform tests the guarantees on a server, on the real clock. Each call of connect
// returns a new connection to it.
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
		at = 80 // each batch is an fsync
	}
	for _, tc := range []struct {
		name string
		test func(t *testing.T, ctx context.Context, store *eventstore.Store)
	}{
		{"single events and batches make one history", one},
		{"the second append at a version returns a Conflict", conflict},
		{"one of thirty concurrent appends succeeds", rivals},
		{"a batch with a conflict stores nothing", allOrNone},
		{"a retry is stored once", retried},
		{"a batch of a thousand events, and a history of several pages", long},
		{"hundreds of concurrent appends succeed", concurrentAppends(at)},
		{"Load starts at a snapshot", snapshots},
		{"Erase leaves only the tombstone", erased},
		{"a long history after Erase is loaded", begunAgain},
		{"a subscription receives the stored events", received},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, ctx, store) })
	}
}

func one(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v1, err := store.Append(ctx, "one", eventstore.Version{}, events(t, "a")...)
	require.NoError(t, err)
	v3, err := store.Append(ctx, "one", v1, events(t, "b", "c")...)
	require.NoError(t, err)
	v4, err := store.Append(ctx, "one", v3, events(t, "d")...)
	require.NoError(t, err)
	got, v := eventuallyHistory(t, ctx, store, "one", eventstore.Version{}, 4)
	require.Equal(t, []string{"a@1", "b@2", "c@3", "d@4"}, got)
	require.Equal(t, v4, v)
	got, _ = eventuallyHistory(t, ctx, store, "one", v1, 3)
	require.Equal(t, []string{"b@2", "c@3", "d@4"}, got)
	got, _ = eventuallyHistory(t, ctx, store, "nobody", eventstore.Version{}, 0)
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
		break // and leaves no subscription
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
	got, _ := eventuallyHistory(t, ctx, store, "all", eventstore.Version{}, 1)
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
	got, _ := eventuallyHistory(t, ctx, store, "again", eventstore.Version{}, 4)
	require.Equal(t, []string{"a@1", "b@2", "c@3", "d@4"}, got)
}

func long(t *testing.T, ctx context.Context, store *eventstore.Store) {
	v, err := store.Append(ctx, "long", eventstore.Version{}, numbered(t, "e", 1000)...)
	require.NoError(t, err)
	got, last := eventuallyHistory(t, ctx, store, "long", eventstore.Version{}, 1000)
	require.Len(t, got, 1000)
	require.Equal(t, v, last)
	v, err = store.Append(ctx, "long", v, numbered(t, "f", 500)...) // past what the server looks through at once
	require.NoError(t, err)
	got, last = eventuallyHistory(t, ctx, store, "long", eventstore.Version{}, 1500)
	require.Len(t, got, 1500)
	require.Equal(t, v, last)
	got, _ = eventuallyHistory(t, ctx, store, "long", v, 0)
	require.Empty(t, got)
}

func concurrentAppends(n int) func(t *testing.T, ctx context.Context, store *eventstore.Store) {
	return func(t *testing.T, ctx context.Context, store *eventstore.Store) {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				_, err := store.Append(ctx, fmt.Sprintf("concurrent-%d", i), eventstore.Version{}, numbered(t, "e", 3)...)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		for i := range n {
			got, _ := eventuallyHistory(t, ctx, store, fmt.Sprintf("concurrent-%d", i), eventstore.Version{}, 3)
			require.Equal(t, []string{"e-0@1", "e-1@2", "e-2@3"}, got)
		}
	}
}
