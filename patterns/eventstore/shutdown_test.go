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
