package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// drain times how long it takes until handle has finished n messages of 100 bytes.
// Each of them is done when handle, or what it is made of, calls did.
func drain(b *testing.B, js jetstream.JetStream, n int, make func(cons jetstream.Consumer, did func()) (jetstream.MessageHandler, error)) time.Duration {
	b.Helper()
	ctx := b.Context()
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.*"}, Retention: jetstream.WorkQueuePolicy})
	require.NoError(b, err)
	defer func() {
		for _, name := range []string{"ORDERS", "PLAIN", "DEAD_orders"} {
			_ = js.DeleteStream(ctx, name)
		}
	}()
	cons, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{Durable: "packing", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 2 * n})
	require.NoError(b, err)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"plain.*"}})
	require.NoError(b, err)
	body := [100]byte{}
	for i := range n {
		_, err := js.PublishAsync(fmt.Sprint("orders.", i), body[:])
		require.NoError(b, err)
		if i%2000 == 1999 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	done, left := closing(n)
	handle, err := make(cons, left)
	require.NoError(b, err)
	start := time.Now()
	run, err := cons.Consume(handle)
	require.NoError(b, err)
	<-done
	took := time.Since(start)
	run.Stop()
	<-run.Closed()
	return took
}

// closing returns a channel that is closed at the nth call, by one goroutine.
func closing(n int) (done chan struct{}, did func()) {
	done = make(chan struct{})
	return done, func() {
		if n--; n == 0 {
			close(done)
		}
	}
}

// The work: every message of a full queue is handled and acked; none becomes a
// dead letter, which is the usual case.
func BenchmarkGuard(b *testing.B) {
	const n = 10_000
	js := natstest.Start(b).JetStream("worker")
	ratio.Bar{Pattern: "deadletter", Metric: "guarded beside Consume+Ack", AtLeast: 0.9, Pairs: 11}.Compare(b,
		func(b *testing.B) time.Duration {
			return drain(b, js, n, func(_ jetstream.Consumer, did func()) (jetstream.MessageHandler, error) {
				return func(msg jetstream.Msg) {
					_ = msg.Ack()
					did()
				}, nil
			})
		},
		func(b *testing.B) time.Duration {
			return drain(b, js, n, func(cons jetstream.Consumer, did func()) (jetstream.MessageHandler, error) {
				ch, err := deadletter.NewChannel(b.Context(), js, "orders", deadletter.Config{})
				if err != nil {
					return nil, err
				}
				guarded, err := ch.Guard(b.Context(), cons, func(context.Context, deadletter.Message) error { return nil })
				return func(msg jetstream.Msg) { guarded(msg); did() }, err
			})
		})
}

// The work: every message is poison, stored elsewhere with a reason, and terminated.
func BenchmarkGiveUp(b *testing.B) {
	const n = 1_000
	js := natstest.Start(b).JetStream("worker")
	ratio.Bar{Pattern: "deadletter", Metric: "a letter beside Publish+Term", AtLeast: 0.6, Pairs: 11}.Compare(b,
		func(b *testing.B) time.Duration {
			return drain(b, js, n, func(_ jetstream.Consumer, did func()) (jetstream.MessageHandler, error) {
				return func(msg jetstream.Msg) {
					m := nats.NewMsg("plain.1")
					m.Header.Set("Reason", "poison")
					m.Data = msg.Data()
					if _, err := js.PublishMsg(b.Context(), m); err == nil && msg.Term() == nil {
						did()
					}
				}, nil
			})
		},
		func(b *testing.B) time.Duration {
			return drain(b, js, n, func(cons jetstream.Consumer, did func()) (jetstream.MessageHandler, error) {
				ch, err := deadletter.NewChannel(b.Context(), js, "orders", deadletter.Config{})
				if err != nil {
					return nil, err
				}
				poison := errors.Join(deadletter.ErrPoison)
				guarded, err := ch.Guard(b.Context(), cons, func(context.Context, deadletter.Message) error { return poison })
				return func(msg jetstream.Msg) { guarded(msg); did() }, err
			})
		})
}
