package eventstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// The events are stored and the ack is lost: a retry succeeds, also an hour later.
func TestLostAck(t *testing.T) {
	for _, n := range []int{1, 3} {
		for _, later := range []time.Duration{0, time.Hour} {
			t.Run(fmt.Sprintf("%d events, retried %v later", n, later), func(t *testing.T) {
				natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
					store := open(t, s.JetStream("writer"))
					batch := numbered(t, "e", n)
					s.Link("writer").Delay(300 * time.Millisecond)
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					if n == 1 {
						cancel()
						ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
					}
					defer cancel()
					_, err := store.Append(ctx, "ann", eventstore.Version{}, batch...)
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.ErrorContains(t, err, "call again with the same arguments")
					s.Link("writer").Delay(0)
					time.Sleep(500*time.Millisecond + later)
					got, stored := history(t, t.Context(), store, "ann", eventstore.Version{})
					require.Len(t, got, n)
					v, err := store.Append(t.Context(), "ann", eventstore.Version{}, batch...)
					require.NoError(t, err)
					require.Equal(t, stored, v)
				})
			})
		}
	}
}

// Append retries during a disconnect and a server restart, within its context.
func TestRestart(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store, err := eventstore.New(t.Context(), s.JetStream("writer"), "accounts", eventstore.Config{})
		require.NoError(t, err)
		v, err := store.Append(t.Context(), "ann", eventstore.Version{}, events(t, "a")...)
		require.NoError(t, err)
		s.Stop()
		time.AfterFunc(5*time.Second, func() {
			if err := s.Start(); err != nil {
				panic(err)
			}
		})
		start := time.Now()
		v, err = store.Append(t.Context(), "ann", v, events(t, "b", "c")...)
		require.NoError(t, err)
		require.EqualValues(t, 3, v.N)
		require.Less(t, time.Since(start), 8*time.Second)
		s.Link("writer").Down()
		time.AfterFunc(5*time.Second, s.Link("writer").Up)
		got, _ := history(t, t.Context(), store, "ann", eventstore.Version{})
		require.Equal(t, []string{"a@1", "b@2", "c@3"}, got)
	})
}

// Load returns an error for a gap.
func TestGap(t *testing.T) {
	ctx, js := t.Context(), natstest.Start(t).JetStream("test")
	store := open(t, js)
	_, err := store.Append(ctx, "ann", eventstore.Version{}, events(t, "a", "b", "c")...)
	require.NoError(t, err)
	s, err := js.Stream(ctx, "ACCOUNTS")
	require.NoError(t, err)
	require.NoError(t, s.Purge(ctx, jetstream.WithPurgeSubject("accounts.event.ann.2.*")))
	start := time.Now()
	_, _, err = read(ctx, store, "ann")
	require.Less(t, time.Since(start), 5*time.Second)
	require.ErrorIs(t, err, eventstore.ErrGap)
	require.ErrorContains(t, err, "ann goes from version 1 to 3")
}

// A reply that is not from JetStream is an error.
func TestForeignReply(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store := open(t, s.JetStream("writer"))
		other := s.Connect("other")
		_, err := other.Subscribe("accounts.event.>", func(m *nats.Msg) { _ = m.Respond(nil) })
		require.NoError(t, err)
		require.NoError(t, other.Flush())
		cfg, err := eventstore.StreamConfig("accounts", eventstore.Config{Storage: jetstream.MemoryStorage})
		require.NoError(t, err)
		cfg.Subjects = []string{"elsewhere"} // or one of the two replies would be from the store
		_, err = natstest.JetStream(t, other).UpdateStream(t.Context(), cfg)
		require.NoError(t, err)
		for _, n := range []int{1, 3} {
			_, err = store.Append(t.Context(), "ann", eventstore.Version{}, numbered(t, "e", n)...)
			require.ErrorContains(t, err, "the reply is not from JetStream")
		}
	})
}

// A call whose reply was lost is retried, also without a deadline.
func TestLostAnswer(t *testing.T) {
	for _, tc := range []struct {
		name string
		call func(ctx context.Context, store *eventstore.Store) error
		want func(t *testing.T, err error)
	}{
		{"a save of an old snapshot", func(ctx context.Context, store *eventstore.Store) error {
			return store.SaveSnapshot(ctx, "ann", eventstore.Version{}, 1)
		}, func(t *testing.T, err error) {
			var c *eventstore.Conflict
			require.ErrorAs(t, err, &c)
		}},
		{"a read of a snapshot", func(ctx context.Context, store *eventstore.Store) error {
			var n int
			_, err := store.Snapshot(ctx, "ann", &n)
			return err
		}, func(t *testing.T, err error) { require.NoError(t, err) }},
		{"an erasure", func(ctx context.Context, store *eventstore.Store) error { return store.Erase(ctx, "ann") },
			func(t *testing.T, err error) { require.NoError(t, err) }},
	} {
		for _, down := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 250 * time.Millisecond} {
			t.Run(fmt.Sprint(tc.name, ", down after ", down), func(t *testing.T) {
				natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
					store := open(t, s.JetStream("writer"))
					_, err := store.Append(t.Context(), "ann", eventstore.Version{}, events(t, "a")...)
					require.NoError(t, err)
					link := s.Link("writer")
					link.Delay(100 * time.Millisecond)
					time.AfterFunc(down, func() {
						link.Down()
						link.Delay(0)
						time.AfterFunc(time.Second, link.Up)
					})
					done := make(chan error, 1)
					go func() { done <- tc.call(context.Background(), store) }()
					select {
					case err := <-done:
						tc.want(t, err)
					case <-time.After(15 * time.Second):
						s.JetStream("writer").Conn().Close()
						t.Error("the call did not end")
					}
				})
			})
		}
	}
}
