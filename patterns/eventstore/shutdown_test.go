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

// When ctx ends, the context of the Handler ends after Grace, and its event is
// redelivered.
func TestGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store := open(t, s.JetStream("test"))
		_, err := store.Append(t.Context(), "ann", eventstore.Version{}, mustEvents("a")...)
		require.NoError(t, err)
		for _, tc := range []struct {
			work time.Duration
			want string
		}{{20 * time.Second, "15s context canceled"}, {8 * time.Second, "8s <nil>"}} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			sub, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "d", Backoff: time.Millisecond})
			require.NoError(t, err)
			start, got := time.Now(), ""
			require.NoError(t, sub.Run(ctx, func(ctx context.Context, _ eventstore.Event) error {
				select {
				case <-ctx.Done():
				case <-time.After(tc.work):
				}
				got = fmt.Sprint(time.Since(start).Round(time.Second), " ", ctx.Err())
				return ctx.Err()
			}))
			require.Equal(t, tc.want, got)
		}
	})
}

// Run returns why it ended, and a live Subscription leaves no consumer.
func TestRunEnds(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("test")
		store := open(t, js)
		none := func(context.Context, eventstore.Event) error { return nil }
		stream, err := js.Stream(ctx, "ACCOUNTS")
		require.NoError(t, err)

		live, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{})
		require.NoError(t, err)
		require.ErrorIs(t, live.Run(ctx, nil), eventstore.ErrConfig)
		ended, end := context.WithCancel(ctx)
		end()
		require.NoError(t, live.Run(ended, none))
		require.ErrorIs(t, live.Run(ctx, none), eventstore.ErrAlreadyRun)
		info, err := stream.Info(ctx)
		require.NoError(t, err)
		require.Zero(t, info.State.Consumers)

		durable, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "mailer"})
		require.NoError(t, err)
		_, err = eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "mailer", Types: []string{"paid"}})
		require.ErrorIs(t, err, eventstore.ErrMismatch)
		time.AfterFunc(time.Second, func() { _ = stream.DeleteConsumer(ctx, "mailer") })
		require.ErrorIs(t, durable.Run(ctx, none), jetstream.ErrConsumerDeleted)

		_, err = js.Publish(ctx, "accounts.event.ann.1.noise", nil) // not from this package: skipped
		require.NoError(t, err)
		again, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "again"})
		require.NoError(t, err)
		closes, stop := context.WithTimeout(ctx, time.Minute)
		defer stop()
		time.AfterFunc(time.Second, js.Conn().Close)
		require.ErrorContains(t, again.Run(closes, func(context.Context, eventstore.Event) error {
			t.Error("handled noise")
			return nil
		}), "closed")
	})
}

// The event of a Handler that ignores its context is redelivered after Grace, and not
// only when the Handler returns.
func TestGraceIgnored(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cfg := eventstore.SubscriptionConfig{Durable: "d", AckWait: 6 * time.Second, Grace: 10 * time.Second}
		store := open(t, s.JetStream("one"))
		_, err := store.Append(t.Context(), "ann", eventstore.Version{}, mustEvents("a")...)
		require.NoError(t, err)
		stopping, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		one, err := eventstore.NewSubscription(t.Context(), store, cfg)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			done <- one.Run(stopping, func(context.Context, eventstore.Event) error { time.Sleep(time.Minute); return nil })
		}()
		time.Sleep(100 * time.Millisecond)
		start, took := time.Now(), time.Duration(0)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		two, err := eventstore.NewSubscription(t.Context(), open(t, s.JetStream("two")), cfg)
		require.NoError(t, err)
		require.NoError(t, two.Run(ctx, func(context.Context, eventstore.Event) error { took = time.Since(start); cancel(); return nil }))
		require.Greater(t, took, 10*time.Second, "not within Grace")
		require.Less(t, took, 18*time.Second, "1 s, Grace and AckWait")
		require.NoError(t, <-done)
	})
}

// Run ends if its consumer or its stream is deleted during a disconnect.
func TestRunEndsLater(t *testing.T) {
	for name, remove := range map[string]func(ctx context.Context, js jetstream.JetStream) error{
		"the consumer": func(ctx context.Context, js jetstream.JetStream) error {
			return js.DeleteConsumer(ctx, "ACCOUNTS", "mailer")
		},
		"the stream": func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, "ACCOUNTS") },
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				sub, err := eventstore.NewSubscription(ctx, open(t, s.JetStream("mailer")), eventstore.SubscriptionConfig{Durable: "mailer"})
				require.NoError(t, err)
				done := make(chan error, 1)
				go func() { done <- sub.Run(ctx, func(context.Context, eventstore.Event) error { return nil }) }()
				time.Sleep(time.Second)
				s.Link("mailer").Down()
				require.NoError(t, remove(ctx, s.JetStream("operator")))
				s.Link("mailer").Up()
				require.ErrorContains(t, <-done, "eventstore: subscription: ")
				require.NoError(t, ctx.Err(), "in time")
			})
		})
	}
}

// Without a deadline, each call ends after 10 s while the server does not reply.
func TestDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store, ctx := open(t, s.JetStream("writer")), context.Background()
		s.Link("writer").Delay(time.Hour)
		for name, call := range map[string]func() error{
			"Append":       func() error { _, err := store.Append(ctx, "ann", eventstore.Version{}, mustEvents("a")...); return err },
			"Load":         func() error { _, _, err := read(ctx, store, "ann"); return err },
			"SaveSnapshot": func() error { return store.SaveSnapshot(ctx, "ann", eventstore.Version{}, 1) },
			"Snapshot":     func() error { _, err := store.Snapshot(ctx, "ann", new(int)); return err },
			"Erase":        func() error { return store.Erase(ctx, "ann") },
			"New": func() error {
				_, err := eventstore.New(ctx, s.JetStream("writer"), "accounts", eventstore.Config{})
				return err
			},
		} {
			start := time.Now()
			require.ErrorIs(t, call(), context.DeadlineExceeded, name)
			require.InDelta(t, 10, time.Since(start).Seconds(), 0.5, name)
		}
	})
}
