package eventstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func open(t *testing.T, js jetstream.JetStream) *eventstore.Store {
	t.Helper()
	store, err := eventstore.New(t.Context(), js, "accounts", eventstore.Config{Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	return store
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

// history loads the events of an entity after a version, as "id@version".
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

// eventuallyHistory is history with n events: a replica can be behind for a moment.
func eventuallyHistory(tb testing.TB, ctx context.Context, store *eventstore.Store, id string, after eventstore.Version, n int) (got []string, v eventstore.Version) {
	tb.Helper()
	natstest.Eventually(tb, 5*time.Second, func(context.Context) error {
		if got, v = history(tb, ctx, store, id, after); len(got) != n {
			return fmt.Errorf("%d events of %s, want %d: %.200q", len(got), id, n, got)
		}
		return nil
	})
	return got, v
}

// mustEvents is events without data.
func mustEvents(ids ...string) (events []eventstore.Event) {
	for _, id := range ids {
		events = append(events, eventstore.Event{ID: id, Type: "deposited"})
	}
	return events
}

// read loads all events of an entity, and its version.
func read(ctx context.Context, s *eventstore.Store, id string) (all []eventstore.Event, v eventstore.Version, err error) {
	for e, err := range s.Load(ctx, id, eventstore.Version{}) {
		if err != nil {
			return nil, v, err
		}
		all, v = append(all, e), e.Version
	}
	return all, v, nil
}
