package deadletter_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

var badIDs = []string{"", "*", ">", "a.b", "a b", "a\x00", "ä", string(make([]byte, 5000)), "a\r\nPUB x 0", "a.>.1.1", "a.b.1.*", "a.b.c.d.e"}

func TestBadInput(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("client"), t.Context()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	zero := deadletter.Config{}
	ch, err := deadletter.NewChannel(ctx, js, "orders", zero)
	require.NoError(t, err)
	for _, id := range badIDs {
		_, err := deadletter.NewChannel(ctx, js, id, zero)
		require.ErrorIs(t, err, deadletter.ErrID)
		_, err = deadletter.NewKeeper(ctx, js, id, "ORDERS", zero)
		require.ErrorIs(t, err, deadletter.ErrID)
		_, err = deadletter.NewKeeper(ctx, js, "orders", id, zero)
		require.ErrorIs(t, err, deadletter.ErrID)
		require.ErrorIs(t, deadletter.Provision(ctx, js, "orders", zero, id), deadletter.ErrID)
		_, err = ch.Get(ctx, id)
		require.ErrorIs(t, err, deadletter.ErrID)
		require.ErrorIs(t, ch.Requeue(ctx, id, nil), deadletter.ErrID)
		require.ErrorIs(t, ch.Purge(ctx, id), deadletter.ErrID)
	}
	require.ErrorIs(t, ch.Requeue(ctx, "ORDERS.packing.1.abc", nil), deadletter.ErrNoLetter)
	_, err = js.Publish(ctx, "dead.orders.ORDERS.packing.x.y", nil)
	require.NoError(t, err)
	for _, err := range ch.All(ctx) {
		require.ErrorContains(t, err, "is not from here")
	}

	sc := &scene{Server: s, t: t, js: js}
	sc.stream(jetstream.LimitsPolicy)
	cons := sc.consumer("packing", 0)
	none := func(context.Context, *nats.Msg) error { return nil }
	_, err = ch.Guard(ctx, cons, nil)
	require.ErrorIs(t, err, deadletter.ErrConfig)
	_, err = ch.Guard(ctx, nil, none)
	require.ErrorIs(t, err, deadletter.ErrConfig)
	_, err = ch.Guard(ctx, sc.consumer("limited", 3), none)
	require.ErrorIs(t, err, deadletter.ErrMismatch)
	require.ErrorContains(t, err, "MaxDeliver 3, want -1; or use a Keeper")
	weak, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "weak", AckPolicy: jetstream.AckNonePolicy})
	require.NoError(t, err)
	_, err = ch.Guard(ctx, weak, none)
	require.ErrorIs(t, err, deadletter.ErrMismatch)

	_, err = deadletter.NewChannel(ended, js, "orders", zero)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, ch.Purge(ended, "ORDERS.packing.1.abc"), context.Canceled)
	k, err := deadletter.NewKeeper(ctx, js, "orders", "ORDERS", zero)
	require.NoError(t, err)
	require.NoError(t, k.Run(ended))
	require.ErrorIs(t, k.Run(ctx), deadletter.ErrTwice)
	_, err = js.Publish(ctx, "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.forged", []byte("{"))
	require.NoError(t, err)

	js.Conn().Close()
	for _, err := range ch.All(ctx) {
		require.ErrorContains(t, err, "connection closed")
	}
	require.ErrorContains(t, ch.Requeue(ctx, "ORDERS.packing.1.abc", nil), "connection closed")
}

func TestConfig(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("a"), t.Context()
	for field, cfg := range map[string]deadletter.Config{
		"Tries": {Tries: -1}, "Backoff": {Backoff: -1}, "Keep": {Keep: time.Millisecond}, "Replicas": {Replicas: -1},
	} {
		_, err := deadletter.NewChannel(ctx, js, "orders", cfg)
		require.ErrorIs(t, err, deadletter.ErrConfig)
		require.ErrorContains(t, err, field)
		require.ErrorIs(t, deadletter.Provision(ctx, js, "orders", cfg), deadletter.ErrConfig)
	}
	_, err := deadletter.NewKeeper(ctx, js, "orders", "ORDERS", deadletter.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)

	mine := deadletter.Config{Keep: time.Hour, Storage: jetstream.MemoryStorage, Metadata: map[string]string{"owner": "shop"}}
	_, err = deadletter.NewKeeper(ctx, js, "orders", "ORDERS", mine)
	require.NoError(t, err)
	_, err = deadletter.NewChannel(ctx, js, "orders", deadletter.Config{})
	require.ErrorIs(t, err, deadletter.ErrMismatch)
	require.ErrorContains(t, err, "MaxAge 1h0m0s, want 0s")
	_, err = deadletter.NewKeeper(ctx, js, "orders", "ORDERS", deadletter.Config{Bind: true, Keep: time.Hour})
	require.NoError(t, err, "storage and metadata are nobody's business but the owner's")
	dead, err := js.Stream(ctx, "DEAD_orders")
	require.NoError(t, err)
	require.Equal(t, "shop", dead.CachedInfo().Config.Metadata["owner"])

	mine.Keep = 2 * time.Hour
	require.NoError(t, deadletter.Provision(ctx, js, "orders", mine, "ORDERS", "BASKETS"))
	mine.Bind = true
	_, err = deadletter.NewKeeper(ctx, js, "orders", "BASKETS", mine)
	require.NoError(t, err)
}

// A message that fills all the server takes leaves no room for the headers of a
// letter: it stays where it is, and is not lost.
func TestTooLarge(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		defer sc.work("worker", "packing", func(context.Context, *nats.Msg) error { return deadletter.ErrPoison }, deadletter.Config{})()
		limit := sc.js.Conn().MaxPayload()
		for _, room := range []int64{0, 2000} {
			_, err := sc.js.Publish(t.Context(), "orders.new", make([]byte, limit-room))
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		require.Len(t, sc.letters(), 1)
		require.Len(t, sc.first().Msg.Data, int(limit)-2000)
		orders, err := sc.js.Stream(t.Context(), "ORDERS")
		require.NoError(t, err)
		require.EqualValues(t, 1, orders.CachedInfo().State.Msgs)
	})
}
