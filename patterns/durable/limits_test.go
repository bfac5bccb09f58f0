package durable_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// The cases of TestNotPromised that depend on limits and settings; lint:bubble, it runs them in one.

// The server recognizes an ID for two minutes.
func windowEnds(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	publish(t, provisioned(t, js), "order-1")
	time.Sleep(time.Minute)
	publish(t, js, "order-1")
	require.Equal(t, numbered(1, 1), stored(t, js))
	time.Sleep(2 * time.Minute)
	publish(t, js, "order-1")
	require.Equal(t, []string{"order-1", "order-1"}, stored(t, js))
}

// Another body with the same ID is dropped as a duplicate.
func sameID(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	publish(t, provisioned(t, js), "order-1")
	ack, err := durable.Publish(t.Context(), js, "orders", "order-1", &nats.Msg{Data: []byte("changed my mind")})
	require.NoError(t, err)
	require.True(t, ack.Duplicate)
	require.Equal(t, numbered(1, 1), stored(t, js))
}

func memory(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	provision(t, js, durable.Config{Storage: jetstream.MemoryStorage})
	publish(t, js, numbered(1, 100)...)
	s.Stop()
	require.NoError(t, s.Start())
	time.Sleep(time.Second)
	_, err := durable.Replay(t.Context(), js, "orders", 0, new(recorder).handle)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func disk(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	publish(t, provisioned(t, js), numbered(1, 100)...)
	dir := s.Server.Server().JetStreamConfig().StoreDir
	s.Stop()
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "$G", "streams", "DURABLE_orders")))
	require.NoError(t, s.Start())
	time.Sleep(time.Second)
	_, err := durable.Replay(t.Context(), js, "orders", 0, new(recorder).handle)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

// A stream at its limit drops old messages by default, acknowledged and unread. A topic
// refuses new ones.
func dropsOld(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	plain, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"plain.*"}, MaxBytes: 4096})
	require.NoError(t, err)
	provision(t, js, durable.Config{MaxBytes: 4096})
	var full error
	acked := 0
	for _, id := range numbered(1, 100) {
		_, err := js.Publish(t.Context(), "plain."+id, make([]byte, 100))
		require.NoError(t, err)
		if _, full = durable.Publish(t.Context(), js, "orders", id, &nats.Msg{Data: make([]byte, 100)}); full == nil {
			acked++
		}
	}
	info, err := plain.Info(t.Context())
	require.NoError(t, err)
	require.Less(t, info.State.Msgs, uint64(50), "of 100 acknowledged messages")
	require.ErrorIs(t, full, durable.ErrFull)
	require.Len(t, stored(t, js), acked, "all acknowledged messages")
}

func noInterest(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	plain, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"plain.*"}, Retention: jetstream.InterestPolicy})
	require.NoError(t, err)
	for range 100 {
		_, err := js.Publish(t.Context(), "plain.1", nil)
		require.NoError(t, err)
	}
	info, err := plain.Info(t.Context())
	require.NoError(t, err)
	require.Zero(t, info.State.Msgs)
}

// A consumer with MaxDeliver does not deliver a message again after that. A Subscriber does.
func maxDeliver(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	publish(t, provisioned(t, js), "order-1")
	cons, err := js.CreateConsumer(t.Context(), "DURABLE_orders", jetstream.ConsumerConfig{
		Durable: "plain", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5, AckWait: time.Second})
	require.NoError(t, err)
	limited, ours := 0, 0
	c, err := cons.Consume(func(jetstream.Msg) { limited++ })
	require.NoError(t, err)
	stop := start(t, subscribe(t, js, "desk", durable.Config{}), func(context.Context, durable.Message) error {
		ours++
		return context.DeadlineExceeded
	})
	time.Sleep(time.Hour)
	c.Stop()
	<-c.Closed()
	stop()
	require.Equal(t, 5, limited)
	require.Greater(t, ours, 50)
}
