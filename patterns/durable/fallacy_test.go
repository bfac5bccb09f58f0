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

// What is written as the line breaks is gone, and nobody is told. Publish waits for
// the answer, and tells.
func coreNil(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	provision(t, js, durable.Config{})
	s.Line("shop").Delay(100 * time.Millisecond)
	for _, id := range numbered(1, 100) {
		require.NoError(t, js.Conn().Publish("durable.orders."+id, nil))
	}
	require.NoError(t, js.Conn().FlushTimeout(time.Second))
	for _, id := range numbered(101, 200) {
		require.NoError(t, js.Conn().Publish("durable.orders."+id, nil))
		time.Sleep(time.Millisecond)
	}
	s.Line("shop").Cut()
	s.Line("shop").Delay(0)
	time.Sleep(time.Second)
	require.Less(t, len(stored(t, js)), 150, "of 200")
}

// The answer is lost, the message is not: so publish again, under the same id.
func errorButStored(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	provision(t, js, durable.Config{})
	s.Line("shop").Delay(100 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := durable.Publish(ctx, js, "orders", "order-1", none)
	require.ErrorIs(t, err, durable.ErrUnconfirmed)
	s.Line("shop").Delay(0)
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
			s.Line("dies").Down()
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
	s.Line("dies").Down() // and has done nothing
	var l ledger
	start(t, subscribe(t, js, "desk", durable.Config{}), l.did)
	time.Sleep(10 * time.Minute)
	require.Empty(t, l.ids())
}

// An id is known for two minutes.
func windowEnds(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	publish(t, shopWithTopic(t, js), "order-1")
	time.Sleep(time.Minute)
	publish(t, js, "order-1")
	require.Equal(t, numbered(1, 1), stored(t, js))
	time.Sleep(2 * time.Minute)
	publish(t, js, "order-1")
	require.Equal(t, []string{"order-1", "order-1"}, stored(t, js))
}

// Another body under the same id is taken for a repetition.
func sameID(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	publish(t, shopWithTopic(t, js), "order-1")
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
	_, err := durable.Replay(t.Context(), js, "orders", 0, new(ledger).did)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

func disk(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
	publish(t, shopWithTopic(t, js), numbered(1, 100)...)
	dir := s.Server.Server().JetStreamConfig().StoreDir
	s.Stop()
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "$G", "streams", "DURABLE_orders")))
	require.NoError(t, s.Start())
	time.Sleep(time.Second)
	_, err := durable.Replay(t.Context(), js, "orders", 0, new(ledger).did)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

// A stream at its limit drops the old by default, confirmed and unread; a topic
// refuses the new.
func dropsOld(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	plain, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"plain.*"}, MaxBytes: 4096})
	require.NoError(t, err)
	provision(t, js, durable.Config{MaxBytes: 4096})
	var full error
	kept := 0
	for _, id := range numbered(1, 100) {
		_, err := js.Publish(t.Context(), "plain."+id, make([]byte, 100))
		require.NoError(t, err)
		if _, full = durable.Publish(t.Context(), js, "orders", id, &nats.Msg{Data: make([]byte, 100)}); full == nil {
			kept++
		}
	}
	info, err := plain.Info(t.Context())
	require.NoError(t, err)
	require.Less(t, info.State.Msgs, uint64(50), "of 100 that were confirmed")
	require.ErrorIs(t, full, durable.ErrFull)
	require.Len(t, stored(t, js), kept, "all that were confirmed")
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

// A consumer with a MaxDeliver gives up a message in silence; a Subscriber never does.
func maxDeliver(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
	publish(t, shopWithTopic(t, js), "order-1")
	cons, err := js.CreateConsumer(t.Context(), "DURABLE_orders", jetstream.ConsumerConfig{
		Durable: "plain", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5, AckWait: time.Second})
	require.NoError(t, err)
	tries, ours := 0, 0
	c, err := cons.Consume(func(jetstream.Msg) { tries++ })
	require.NoError(t, err)
	stop := start(t, subscribe(t, js, "desk", durable.Config{}), func(context.Context, durable.Message) error {
		ours++
		return context.DeadlineExceeded
	})
	time.Sleep(time.Hour)
	c.Stop()
	<-c.Closed()
	stop()
	require.Equal(t, 5, tries)
	require.Greater(t, ours, 50)
}
