package deadletter_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// On three replicas, a full stream of letters refuses letters, and a letter can be
// resolved all the same. A letter that is resolved twice is ErrResolved.
func TestCluster(t *testing.T) {
	c := natstest.NewCluster(t)
	ctx, js := t.Context(), natstest.JetStream(t, c.Connect("client"))
	cfg := deadletter.Config{Replicas: 3, MaxBytes: 1000, MaxDeliver: 1, Backoff: 10 * time.Millisecond}
	ch, err := deadletter.NewChannel(ctx, js, "orders", cfg)
	require.NoError(t, err)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}, Retention: jetstream.WorkQueuePolicy, Replicas: 3})
	require.NoError(t, err)
	cons, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "packing", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	sc := &scene{t: t, js: js, ch: ch, start: time.Now()}
	guarded, err := ch.Guard(ctx, cons, sc.handle("packing"))
	require.NoError(t, err)
	sc.send("poison", "poison", "poison", "poison", "poison", "poison", "poison", "poison", "poison", "poison")
	batch, err := cons.Fetch(10)
	require.NoError(t, err)
	for msg := range batch.Messages() {
		guarded(msg)
	}
	n := len(sc.letters())
	require.Less(t, n, 10)
	info, err := js.Stream(ctx, "DEAD_orders")
	require.NoError(t, err)
	full := info.CachedInfo().Config
	full.MaxBytes = int64(info.CachedInfo().State.Bytes)
	t.Log(n, full.MaxBytes)
	_, err = js.UpdateStream(ctx, full)
	require.NoError(t, err)
	for l, err := range ch.All(ctx) {
		require.NoError(t, err)
		require.NoError(t, ch.Purge(ctx, l.ID))
		require.ErrorIs(t, ch.Purge(ctx, l.ID), deadletter.ErrResolved)
	}
}
