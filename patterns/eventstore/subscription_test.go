package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// A Handler's answers, on exact instants: three events, a b c, at once.
func TestHandler(t *testing.T) {
	broken, deposit := errors.New("broken"), func(ctx context.Context, store *eventstore.Store) error {
		_, err := store.Append(ctx, "ann", eventstore.Version{}, mustEvents("a", "b", "c")...)
		return err
	}
	for _, tc := range []struct {
		name    string
		feed    eventstore.Feed
		handler func(calls int, e eventstore.Event) error
		want    string
		err     error
	}{
		{"nil is done", eventstore.Feed{Durable: "d"}, func(int, eventstore.Event) error { return nil }, "0s a, 0s b, 0s c", nil},
		{"an error comes again, later each time, and nothing overtakes it", eventstore.Feed{Durable: "d"}, func(calls int, e eventstore.Event) error {
			if e.ID == "a" && calls <= 3 {
				return broken
			}
			return nil
		}, "0s a, 1s a, 3s a, 7s a, 7s b, 7s c", nil},
		{"poison is given up", eventstore.Feed{Durable: "d"}, func(_ int, e eventstore.Event) error {
			if e.ID == "b" {
				return fmt.Errorf("never: %w", eventstore.ErrPoison)
			}
			return nil
		}, "0s a, 0s b, 0s c", nil},
		{"a slow handler keeps its event", eventstore.Feed{Durable: "d", AckWait: 4 * time.Second}, func(int, eventstore.Event) error {
			time.Sleep(10 * time.Second)
			return nil
		}, "0s a, 10s b, 20s c", nil},
		{"live, nil is done", eventstore.Feed{}, func(int, eventstore.Event) error { return nil }, "0s a, 0s b, 0s c", nil},
		{"live, poison is given up", eventstore.Feed{}, func(int, eventstore.Event) error { return eventstore.ErrPoison }, "0s a, 0s b, 0s c", nil},
		{"live, an error ends it", eventstore.Feed{}, func(calls int, _ eventstore.Event) error {
			if calls == 2 {
				return broken
			}
			return nil
		}, "0s a, 0s b", broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				store := open(t, s.JetStream("test"))
				require.NoError(t, deposit(t.Context(), store))
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				sub, err := store.Subscribe(ctx, tc.feed)
				require.NoError(t, err)
				start, calls := time.Now(), []string{}
				err = sub.Run(ctx, func(_ context.Context, e eventstore.Event) error {
					calls = append(calls, fmt.Sprintf("%v %s", time.Since(start).Truncate(10*time.Millisecond), e.ID))
					return tc.handler(len(calls), e)
				})
				require.ErrorIs(t, err, tc.err)
				require.Equal(t, tc.want, strings.Join(calls, ", "))
			})
		})
	}
}

func mustEvents(ids ...string) (events []eventstore.Event) {
	for _, id := range ids {
		events = append(events, eventstore.Event{ID: id, Type: "deposited"})
	}
	return events
}

// A durable feed goes on where it was, after its process died with an event in
// hand and after the server restarted; a live one goes on by itself.
func TestFeedGoesOn(t *testing.T) {
	for _, durable := range []string{"mailer", ""} {
		t.Run("durable "+durable, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				store, err := eventstore.New(t.Context(), s.JetStream("writer"), "accounts", eventstore.Config{})
				require.NoError(t, err)
				reader, err := eventstore.New(t.Context(), s.JetStream("reader"), "accounts", eventstore.Config{})
				require.NoError(t, err)
				var v eventstore.Version
				add := func(id string) {
					v, err = store.Append(t.Context(), "ann", v, mustEvents(id)...)
					require.NoError(t, err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				sub, err := reader.Subscribe(ctx, eventstore.Feed{Durable: durable})
				require.NoError(t, err)
				var got []string
				done := make(chan error)
				go func() {
					done <- sub.Run(ctx, func(_ context.Context, e eventstore.Event) error {
						got = append(got, e.ID)
						return nil
					})
				}()
				add("a")
				time.Sleep(time.Second)
				s.Link("reader").Down()
				add("b")
				time.Sleep(time.Minute)
				s.Link("reader").Up()
				time.Sleep(30 * time.Second)
				synctest.Wait()
				require.Equal(t, []string{"a", "b"}, got)
				s.Stop()
				time.Sleep(10 * time.Second)
				require.NoError(t, s.Start())
				add("c")
				time.Sleep(30 * time.Second)
				cancel()
				require.NoError(t, <-done)
				require.Equal(t, []string{"a", "b", "c"}, slices.Compact(got))
			})
		})
	}
}

// What a process had in hand when it died is handled by the next, after AckWait.
func TestDiesWithAnEvent(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store := open(t, s.JetStream("first"))
		_, err := store.Append(t.Context(), "ann", eventstore.Version{}, mustEvents("a", "b")...)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		first, err := store.Subscribe(ctx, eventstore.Feed{Durable: "mailer"})
		require.NoError(t, err)
		died, die := context.WithCancel(ctx)
		require.NoError(t, first.Run(died, func(context.Context, eventstore.Event) error {
			s.Link("first").Down()
			die()
			return nil
		}))
		start, got := time.Now(), []string{}
		second, err := open(t, s.JetStream("second")).Subscribe(ctx, eventstore.Feed{Durable: "mailer"})
		require.NoError(t, err)
		require.NoError(t, second.Run(ctx, func(_ context.Context, e eventstore.Event) error {
			got = append(got, fmt.Sprintf("%v %s", time.Since(start).Round(time.Second), e.ID))
			return nil
		}))
		require.Equal(t, []string{"30s a", "30s b"}, got)
	})
}
