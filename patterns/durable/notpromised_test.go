package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// TestNotPromised shows the limits of "guaranteed delivery". In each case a publisher, a
// subscriber or an operator has a reason to consider a message safe, and it is not.
func TestNotPromised(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, s *natstest.Server, js jetstream.JetStream){
		"core publish returns nil and the message is lost":                  coreNil,
		"Publish returns an error and the message is stored":                errorButStored,
		"a stored message expires undelivered":                              storedNotDelivered,
		"a delivered message is not processed":                              deliveredNotProcessed,
		"a processed message is not acknowledged":                           processedNotAcknowledged,
		"an acknowledged message is not processed":                          acknowledgedNotProcessed,
		"a message is stored twice after the duplicate window":              windowEnds,
		"another message with the same ID is not stored":                    sameID,
		"a message in memory is lost with the server":                       memory,
		"a message on one disk is lost with the disk":                       disk,
		"a stream with discard old drops unread messages, a topic does not": dropsOld,
		"an interest stream without consumers drops each message":           noInterest,
		"a consumer with MaxDeliver stops, a Subscriber does not":           maxDeliver,
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) { f(t, s, s.JetStream("shop")) })
		})
	}
}

// A core publish before a disconnect is lost, and no error is reported. Publish waits for
// the ack.
func coreNil(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	provision(t, js, durable.Config{})
	s.Link("shop").Delay(100 * time.Millisecond)
	for _, id := range numbered(1, 100) {
		require.NoError(t, js.Conn().Publish("durable.orders."+id, nil))
	}
	require.NoError(t, js.Conn().FlushTimeout(time.Second))
	for _, id := range numbered(101, 200) {
		require.NoError(t, js.Conn().Publish("durable.orders."+id, nil))
		time.Sleep(time.Millisecond)
	}
	s.Link("shop").Cut()
	s.Link("shop").Delay(0)
	time.Sleep(time.Second)
	require.Less(t, len(stored(t, js)), 150, "of 200")
}

// The ack is lost, the message is not: a retry with the same ID stores nothing.
func errorButStored(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	provision(t, js, durable.Config{})
	s.Link("shop").Delay(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := durable.Publish(ctx, js, "orders", "order-1", none)
	require.ErrorIs(t, err, durable.ErrUnconfirmed)
	s.Link("shop").Delay(0)
	time.Sleep(time.Second)
	require.Equal(t, numbered(1, 1), stored(t, js))
	publish(t, js, "order-1")
	require.Equal(t, numbered(1, 1), stored(t, js))
}

// A topic has no MaxAge. With one that an operator sets, messages expire before they are
// read. A new subscriber refuses such a stream.
func storedNotDelivered(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	sub := subscribe(t, js, "desk", durable.Config{})
	stream, err := durable.StreamConfig("orders", durable.Config{})
	require.NoError(t, err)
	stream.MaxAge = time.Hour
	_, err = js.UpdateStream(t.Context(), stream)
	require.NoError(t, err)
	publish(t, js, numbered(1, 3)...)
	time.Sleep(2 * time.Hour)
	n, err := sub.Poll(t.Context(), 10, new(recorder).handle)
	require.NoError(t, err)
	require.Zero(t, n)
	_, err = durable.NewSubscriber(t.Context(), js, "orders", "desk", durable.Config{})
	require.ErrorIs(t, err, durable.ErrMismatch)
}

// A handler terminates a message that it cannot process.
func deliveredNotProcessed(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	var r recorder
	sub := subscribe(t, js, "desk", durable.Config{})
	publish(t, js, numbered(1, 2)...)
	start(t, sub, func(ctx context.Context, msg durable.Message) error {
		if msg.ID == "order-1" {
			return durable.ErrPoison
		}
		return r.handle(ctx, msg)
	})
	time.Sleep(time.Hour)
	require.Equal(t, []string{"order-2"}, r.ids())
}

// The subscriber crashes between the effect and the ack, and the next one repeats the
// effect. Only an effect that is stored with the message ID is not repeated.
func processedNotAcknowledged(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	var charged recorder
	publish(t, provisioned(t, js), "order-1")
	first, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	sub := subscribe(t, s.JetStream("crashes"), "desk", durable.Config{Grace: time.Second})
	go func() {
		ended <- sub.Run(first, func(ctx context.Context, msg durable.Message) error {
			s.Link("crashes").Down()
			cancel()
			return charged.handle(ctx, msg)
		})
	}()
	require.NoError(t, <-ended)
	start(t, subscribe(t, js, "desk", durable.Config{}), charged.handle)
	time.Sleep(time.Minute)
	require.Equal(t, []string{"order-1", "order-1"}, charged.ids())
}

// A consumer acks a message first, and crashes before the effect.
func acknowledgedNotProcessed(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	subscribe(t, js, "desk", durable.Config{})
	publish(t, js, "order-1")
	cons, err := s.JetStream("crashes").Consumer(t.Context(), "DURABLE_orders", "desk")
	require.NoError(t, err)
	msg, err := cons.Next()
	require.NoError(t, err)
	require.NoError(t, msg.DoubleAck(t.Context()))
	s.Link("crashes").Down() // without an effect
	var r recorder
	start(t, subscribe(t, js, "desk", durable.Config{}), r.handle)
	time.Sleep(10 * time.Minute)
	require.Empty(t, r.ids())
}
