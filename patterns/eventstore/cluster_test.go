package eventstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// The guarantees hold on three replicas, and a writer continues when the leader of the
// stream stops.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := natstest.NewCluster(t)
	conform(t, func(_ *testing.T, name string) *nats.Conn { return c.Connect(name) }, eventstore.Config{Replicas: 3})

	js := natstest.JetStream(t, c.Connect("writer"))
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	store, err := eventstore.New(ctx, js, "accounts", eventstore.Config{Replicas: 3})
	require.NoError(t, err)
	var v eventstore.Version
	var want []string
	var stopped sync.WaitGroup
	for i := range 90 {
		if i == 30 {
			leader := c.Leader(js, "ACCOUNTS")
			stopped.Go(leader.Stop)
		}
		batch := numbered(t, fmt.Sprint("e-", i), 1+i%3)
		v, err = store.Append(ctx, "ann", v, batch...)
		require.NoError(t, err)
		for _, e := range batch {
			want = append(want, fmt.Sprintf("%s@%d", e.ID, len(want)+1))
		}
	}
	natstest.Eventually(t, 10*time.Second, func(ctx context.Context) error { // a replica may lag
		if got, _ := history(t, ctx, store, "ann", eventstore.Version{}); fmt.Sprint(got) != fmt.Sprint(want) {
			return fmt.Errorf("got %v, want %v", got, want)
		}
		return nil
	})

	stopped.Wait()
}

// Without a majority Append does not return a Conflict, also not with its own attempt.
func TestNoMajority(t *testing.T) {
	t.Parallel()
	c := natstest.NewCluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	js := natstest.JetStream(t, c.Connect("writer"))
	store, err := eventstore.New(ctx, js, "savings", eventstore.Config{Replicas: 3})
	require.NoError(t, err)
	leader := c.Leader(js, "SAVINGS")
	for _, s := range c.Servers {
		if s != leader {
			s.Stop()
		}
	}
	short, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	_, err = store.Append(short, "ann", eventstore.Version{}, events(t, "a")...)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	for _, s := range c.Servers {
		if s != leader {
			require.NoError(t, s.Start())
		}
	}
	c.WaitCurrent()
	v, err := store.Append(ctx, "ann", eventstore.Version{}, events(t, "a")...)
	require.NoError(t, err)
	require.EqualValues(t, 1, v.N)
}

// A replica that is behind returns a history without its latest events. An append at
// that version is rejected.
func TestStale(t *testing.T) {
	ctx, js := t.Context(), natstest.Start(t).JetStream("test")
	store := open(t, js)
	v1, err := store.Append(ctx, "ann", eventstore.Version{}, events(t, "a")...)
	require.NoError(t, err)
	behind, v := history(t, ctx, store, "ann", eventstore.Version{}) // as a replica would serve it, a moment later
	_, err = store.Append(ctx, "ann", v1, events(t, "b")...)
	require.NoError(t, err)
	require.Equal(t, []string{"a@1"}, behind)
	_, err = store.Append(ctx, "ann", v, events(t, "c")...)
	var c *eventstore.Conflict
	require.ErrorAs(t, err, &c)
	require.EqualValues(t, 2, c.Actual.N)
	got, _ := history(t, ctx, store, "ann", v)
	require.Equal(t, []string{"b@2"}, got)
}
