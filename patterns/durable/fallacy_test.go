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

// TestFallacy makes happen what "guaranteed delivery" does not mean. Each case is a
// message that the publisher was told is safe.
func TestFallacy(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, s *natstest.Server, js jetstream.JetStream){
		"a nil from core publish is no promise":                      coreNil,
		"an error does not say that it is not stored":                errorButStored,
		"stored is not delivered":                                    storedNotDelivered,
		"delivered is not processed":                                 deliveredNotProcessed,
		"processed is not acknowledged":                              processedNotAcknowledged,
		"acknowledged is not processed":                              acknowledgedNotProcessed,
		"stored once ends with the dedupe window":                    windowEnds,
		"confirmed under the id of another is not stored":            sameID,
		"stored in memory ends with the server":                      memory,
		"stored once on one disk ends with the disk":                 disk,
		"stored in a stream that drops the old may be gone unread":   dropsOld,
		"confirmed by an interest stream without readers is nothing": noInterest,
		"at most so many deliveries is never again":                  maxDeliver,
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) { f(t, s, s.JetStream("shop")) })
		})
	}
}

// What is written as the link breaks is gone, and nobody is told. Publish waits for
// the answer, and tells.
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

// The answer is lost, the message is not: so publish again, under the same id.
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

// A topic that forgets does not ask whether all have read.
func storedNotDelivered(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	cfg := durable.Config{Keep: time.Hour}
	sub := subscribe(t, js, "desk", cfg)
	publish(t, js, numbered(1, 3)...)
	time.Sleep(2 * time.Hour)
	n, err := sub.Poll(t.Context(), 10, new(ledger).did)
	require.NoError(t, err)
	require.Zero(t, n)
}

// Whoever is given a message may have no use for it.
func deliveredNotProcessed(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	var l ledger
	sub := subscribe(t, js, "desk", durable.Config{})
	publish(t, js, numbered(1, 2)...)
	start(t, sub, func(ctx context.Context, msg durable.Message) error {
		if msg.ID == "order-1" {
			return durable.ErrPoison
		}
		return l.did(ctx, msg)
	})
	time.Sleep(time.Hour)
	require.Equal(t, []string{"order-2"}, l.ids())
}

// The subscriber dies between effect and ack: the next one does it again. No
// acknowledgement can help, only an effect that knows the id.
func processedNotAcknowledged(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	var charged ledger
	publish(t, shopWithTopic(t, js), "order-1")
	first, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	sub := subscribe(t, s.JetStream("dies"), "desk", durable.Config{Grace: time.Second})
	go func() {
		ended <- sub.Run(first, func(ctx context.Context, msg durable.Message) error {
			s.Link("dies").Down()
			cancel()
			return charged.did(ctx, msg)
		})
	}()
	require.NoError(t, <-ended)
	start(t, subscribe(t, js, "desk", durable.Config{}), charged.did)
	time.Sleep(time.Minute)
	require.Equal(t, []string{"order-1", "order-1"}, charged.ids())
}

// Acknowledged first, a message is off the server's mind before it is on anyone's.
func acknowledgedNotProcessed(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	subscribe(t, js, "desk", durable.Config{})
	publish(t, js, "order-1")
	cons, err := s.JetStream("dies").Consumer(t.Context(), "DURABLE_orders", "desk")
	require.NoError(t, err)
	msg, err := cons.Next()
	require.NoError(t, err)
	require.NoError(t, msg.DoubleAck(t.Context()))
	s.Link("dies").Down() // and has done nothing
	var l ledger
	start(t, subscribe(t, js, "desk", durable.Config{}), l.did)
	time.Sleep(10 * time.Minute)
	require.Empty(t, l.ids())
}
