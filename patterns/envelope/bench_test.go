package envelope_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/envelope"
)

// byHand returns the same message, without checks.
func byHand(id string, body []byte) *nats.Msg {
	m := &nats.Msg{Subject: "orders", Header: nats.Header{}, Data: body}
	m.Header.Set("ce-specversion", "1.0")
	m.Header.Set("ce-id", id)
	m.Header.Set("ce-source", "/shop")
	m.Header.Set("ce-type", "order.placed")
	m.Header.Set("ce-time", time.Now().UTC().Format(time.RFC3339Nano))
	m.Header.Set("ce-correlationid", id)
	m.Header.Set("Nats-Msg-Id", "/shop "+id)
	return m
}

func ours(b *testing.B, id string, body []byte) *nats.Msg {
	m := &nats.Msg{Subject: "orders", Data: body}
	if err := envelope.Write(m, envelope.New("/shop", "order.placed", id)); err != nil {
		b.Error(err)
	}
	return m
}

var body = make([]byte, 128)

// BenchmarkPublish is core publish, including the message.
func BenchmarkPublish(b *testing.B) {
	nc := natstest.Start(b).Connect("shop")
	run := func(make func(id string) *nats.Msg) func(*testing.B) time.Duration {
		return func(b *testing.B) time.Duration {
			start := time.Now()
			for i := range 20_000 {
				require.NoError(b, nc.PublishMsg(make(strconv.Itoa(i))))
			}
			require.NoError(b, nc.Flush())
			return time.Since(start)
		}
	}
	ratio.Bar{Pattern: "envelope", Metric: "core publish, beside the same headers by hand", AtLeast: 0.85, Pairs: 31}.Compare(b,
		run(func(id string) *nats.Msg { return byHand(id, body) }), run(func(id string) *nats.Msg { return ours(b, id, body) }))
}

// BenchmarkStore is storing in a stream with a Tracer that records nothing.
func BenchmarkStore(b *testing.B) {
	js := natstest.Start(b).JetStream("shop")
	stream(b, js, "ORDERS", "orders")
	tracer, ctx, n := envelope.NewTracer(noop.NewTracerProvider()), context.Background(), 0
	run := func(send func(id string) error) func(*testing.B) time.Duration {
		return func(b *testing.B) time.Duration {
			start := time.Now()
			for range 500 {
				n++
				require.NoError(b, send(strconv.Itoa(n)))
			}
			return time.Since(start)
		}
	}
	ratio.Bar{Pattern: "envelope", Metric: "store without tracing, beside the same headers by hand", AtLeast: 0.9, Pairs: 101}.Compare(b,
		run(func(id string) error { _, err := js.PublishMsg(ctx, byHand(id, body)); return err }),
		run(func(id string) error {
			return tracer.Publish(ctx, js, &nats.Msg{Subject: "orders", Data: body}, envelope.New("/shop", "order.placed", id))
		}))
}

// BenchmarkHandle is handling a message of a stream.
func BenchmarkHandle(b *testing.B) {
	js := natstest.Start(b).JetStream("billing")
	orders := stream(b, js, "ORDERS", "orders")
	for i := range 20_000 {
		_, err := js.PublishMsgAsync(ours(b, strconv.Itoa(i), body))
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	tracer, ctx := envelope.NewTracer(noop.NewTracerProvider()), context.Background()
	run := func(handle func(m jetstream.Msg) error) func(*testing.B) time.Duration {
		return func(b *testing.B) time.Duration {
			cons, err := orders.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 20_000})
			require.NoError(b, err)
			start := time.Now()
			batch, err := cons.Fetch(20_000)
			require.NoError(b, err)
			for m := range batch.Messages() {
				require.NoError(b, handle(m))
				require.NoError(b, m.Ack())
			}
			took := time.Since(start)
			require.NoError(b, orders.DeleteConsumer(ctx, "billing"))
			return took
		}
	}
	ratio.Bar{Pattern: "envelope", Metric: "handle and ack without tracing, beside the same headers by hand", AtLeast: 0.9, Pairs: 31}.Compare(b,
		run(func(m jetstream.Msg) error {
			h := m.Headers()
			at, err := time.Parse(time.RFC3339Nano, h.Get("ce-time"))
			e := envelope.Envelope{ID: h.Get("ce-id"), Source: h.Get("ce-source"), Type: h.Get("ce-type"), Time: at, Correlation: h.Get("ce-correlationid"), Causation: h.Get("ce-causationid")}
			require.NotEmpty(b, e.ID)
			return err
		}),
		run(func(m jetstream.Msg) error {
			return tracer.Handle(ctx, m, func(_ context.Context, e envelope.Envelope, _ []byte) error {
				require.NotEmpty(b, e.ID)
				return nil
			})
		}))
}
