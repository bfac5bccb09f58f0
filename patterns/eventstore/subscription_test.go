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

// The results of a Handler, at exact times, for three events a, b and c.
func TestHandler(t *testing.T) {
	broken, deposit := errors.New("broken"), func(ctx context.Context, store *eventstore.Store) error {
		_, err := store.Append(ctx, "ann", eventstore.Version{}, mustEvents("a", "b", "c")...)
		return err
	}
	for _, tc := range []struct {
		name    string
		cfg     eventstore.SubscriptionConfig
		handler func(calls int, e eventstore.Event) error
		want    string
		err     error
	}{
		{"nil acks the event", eventstore.SubscriptionConfig{Durable: "d"}, func(int, eventstore.Event) error { return nil }, "0s a, 0s b, 0s c", nil},
		{"an error is retried with backoff before the next event", eventstore.SubscriptionConfig{Durable: "d"}, func(calls int, e eventstore.Event) error {
			if e.ID == "a" && calls <= 3 {
				return broken
			}
			return nil
		}, "0s a, 1s a, 3s a, 7s a, 7s b, 7s c", nil},
		{"a poison event is skipped", eventstore.SubscriptionConfig{Durable: "d"}, func(_ int, e eventstore.Event) error {
			if e.ID == "b" {
				return fmt.Errorf("never: %w", eventstore.ErrPoison)
			}
			return nil
		}, "0s a, 0s b, 0s c", nil},
		{"an event longer than AckWait is not redelivered", eventstore.SubscriptionConfig{Durable: "d", AckWait: 4 * time.Second}, func(int, eventstore.Event) error {
			time.Sleep(10 * time.Second)
			return nil
		}, "0s a, 10s b, 20s c", nil},
		{"a panic is retried", eventstore.SubscriptionConfig{Durable: "d"}, func(calls int, _ eventstore.Event) error {
			if calls == 1 {
				panic("bug")
			}
			return nil
		}, "0s a, 1s a, 1s b, 1s c", nil},
		{"live: nil continues", eventstore.SubscriptionConfig{}, func(int, eventstore.Event) error { return nil }, "0s a, 0s b, 0s c", nil},
		{"live: a poison event is skipped", eventstore.SubscriptionConfig{}, func(int, eventstore.Event) error { return eventstore.ErrPoison }, "0s a, 0s b, 0s c", nil},
		{"live: an error ends Run", eventstore.SubscriptionConfig{}, func(calls int, _ eventstore.Event) error {
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
				sub, err := eventstore.NewSubscription(ctx, store, tc.cfg)
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

// A Subscription continues after a disconnect and after a server restart.
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
				sub, err := eventstore.NewSubscription(ctx, reader, eventstore.SubscriptionConfig{Durable: durable})
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

// The event of a crashed process is redelivered after AckWait.
func TestDiesWithAnEvent(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store := open(t, s.JetStream("first"))
		_, err := store.Append(t.Context(), "ann", eventstore.Version{}, mustEvents("a", "b")...)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		first, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "mailer"})
		require.NoError(t, err)
		crashed, crash := context.WithCancel(ctx)
		require.NoError(t, first.Run(crashed, func(context.Context, eventstore.Event) error {
			s.Link("first").Down()
			crash()
			return nil
		}))
		start, got := time.Now(), []string{}
		second, err := eventstore.NewSubscription(ctx, open(t, s.JetStream("second")), eventstore.SubscriptionConfig{Durable: "mailer"})
		require.NoError(t, err)
		require.NoError(t, second.Run(ctx, func(_ context.Context, e eventstore.Event) error {
			got = append(got, fmt.Sprintf("%v %s", time.Since(start).Round(time.Second), e.ID))
			return nil
		}))
		require.Equal(t, []string{"30s a", "30s b"}, got)
	})
}

// A live Subscription to new events misses none if its consumer is recreated before the
// first of them.
func TestNewMissesNone(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		writer := open(t, s.JetStream("writer"))
		v, err := writer.Append(t.Context(), "ann", eventstore.Version{}, mustEvents("old")...)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		sub, err := eventstore.NewSubscription(ctx, open(t, s.JetStream("reader")), eventstore.SubscriptionConfig{New: true})
		require.NoError(t, err)
		got, done := "", make(chan error, 1)
		go func() {
			done <- sub.Run(ctx, func(_ context.Context, e eventstore.Event) error { got += e.ID; return nil })
		}()
		time.Sleep(time.Second)
		s.Link("reader").Down()
		time.Sleep(6 * time.Minute) // the server deletes the consumer
		_, err = writer.Append(t.Context(), "ann", v, mustEvents("new")...)
		require.NoError(t, err)
		s.Link("reader").Up()
		require.NoError(t, <-done)
		require.Equal(t, "new", got)
	})
}
