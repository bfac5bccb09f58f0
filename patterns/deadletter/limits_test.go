package deadletter_test

import (
	"context"
	"testing"
	"time"

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
		_, err = deadletter.NewCollector(ctx, js, id, "ORDERS", zero)
		require.ErrorIs(t, err, deadletter.ErrID)
		_, err = deadletter.NewCollector(ctx, js, "orders", id, zero)
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
		require.ErrorContains(t, err, "is not a letter")
	}

	sc := &scene{Server: s, t: t, js: js}
	sc.stream(jetstream.LimitsPolicy)
	cons := sc.consumer("packing", 0)
	none := func(context.Context, deadletter.Message) error { return nil }
	_, err = ch.Guard(ctx, cons, nil)
	require.ErrorIs(t, err, deadletter.ErrConfig)
	_, err = ch.Guard(ctx, nil, none)
	require.ErrorIs(t, err, deadletter.ErrConfig)
	_, err = ch.Guard(ctx, sc.consumer("limited", 3), none)
	require.ErrorIs(t, err, deadletter.ErrMismatch)
	require.ErrorContains(t, err, "MaxDeliver 3, want -1; or use a Collector")
	weak, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "weak", AckPolicy: jetstream.AckNonePolicy})
	require.NoError(t, err)
	_, err = ch.Guard(ctx, weak, none)
	require.ErrorIs(t, err, deadletter.ErrMismatch)

	_, err = deadletter.NewChannel(ended, js, "orders", zero)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, ch.Purge(ended, "ORDERS.packing.1.abc"), context.Canceled)
	k, err := deadletter.NewCollector(ctx, js, "orders", "ORDERS", zero)
	require.NoError(t, err)
	require.NoError(t, k.Run(ended))
	require.ErrorIs(t, k.Run(ctx), deadletter.ErrAlreadyRun)
	_, err = js.Publish(ctx, "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.ORDERS.forged", []byte("{"))
	require.NoError(t, err)

	js.Conn().Close()
	for _, err := range ch.All(ctx) {
		require.ErrorContains(t, err, "connection closed")
	}
	require.ErrorContains(t, ch.Requeue(ctx, "ORDERS.packing.1.abc", nil), "connection closed")
}

// A message of the maximum size leaves no room for the headers of a letter: it stays in
// its stream.
func TestTooLarge(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		defer sc.work("worker", "packing", func(context.Context, deadletter.Message) error { return deadletter.ErrPoison }, deadletter.Config{})()
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

// A full stream of letters refuses letters, and the messages stay in their stream. A
// letter can be resolved all the same, and that makes room.
func TestFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cfg := deadletter.Config{MaxBytes: 1000, MaxDeliver: 2}
		sc := newScene(t, s, jetstream.WorkQueuePolicy, cfg)
		defer sc.work("worker", "packing", sc.handle("packing"), cfg)()
		for range 10 {
			sc.send("fails")
		}
		time.Sleep(10 * time.Minute)
		n := len(sc.letters())
		require.Greater(t, n, 2)
		orders, err := sc.js.Stream(t.Context(), "ORDERS")
		require.NoError(t, err)
		require.EqualValues(t, 10-n, orders.CachedInfo().State.Msgs)

		for l, err := range sc.ch.All(t.Context()) {
			require.NoError(t, err)
			require.NoError(t, sc.ch.Purge(t.Context(), l.ID))
		}
		time.Sleep(10 * time.Minute)
		require.NotEmpty(t, sc.letters())
		orders, err = sc.js.Stream(t.Context(), "ORDERS")
		require.NoError(t, err)
		require.EqualValues(t, 10-n-len(sc.letters()), orders.CachedInfo().State.Msgs)
	})
}
