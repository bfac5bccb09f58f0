package envelope_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

// recorder collects the spans of all services.
func recorder(t testing.TB) (*tracetest.InMemoryExporter, *envelope.Tracer) {
	spans := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	t.Cleanup(func() { require.NoError(t, provider.Shutdown(context.Background())) })
	return spans, envelope.NewTracer(provider)
}

// edges returns the spans as text, sorted: name, kind, parent, links.
func edges(spans tracetest.SpanStubs) (lines []string) {
	name := map[trace.SpanID]string{}
	for _, s := range spans {
		name[s.SpanContext.SpanID()] = s.Name
	}
	for _, s := range spans {
		line := fmt.Sprintf("%s (%s) under %q", s.Name, s.SpanKind, name[s.Parent.SpanID()])
		for _, l := range s.Links {
			line += fmt.Sprintf(" to %q", name[l.SpanContext.SpanID()])
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

// office is three services: the shop stores an order in ORDERS; billing handles it,
// sends a request to the bank, and stores a message in PAID. It returns all envelopes.
func office(t *testing.T, s *natstest.Server, tracer *envelope.Tracer, orders ...string) (seen []envelope.Envelope) {
	ctx := t.Context()
	shop, billing, bank := s.JetStream("shop"), s.JetStream("billing"), s.Connect("bank")
	in, _ := stream(t, shop, "ORDERS", "orders.>"), stream(t, shop, "PAID", "paid.>")
	sub, err := bank.Subscribe("bank.charge", func(m *nats.Msg) {
		if err := tracer.Serve(ctx, m, func(ctx context.Context, e envelope.Envelope, data []byte) error {
			seen = append(seen, e)
			reply := nats.NewMsg(m.Reply)
			if err := envelope.Write(reply, e.Next("/bank", "card.charged", e.ID+".charged")); err != nil {
				return err
			}
			return m.RespondMsg(reply)
		}); err != nil {
			t.Error(err)
		}
	})
	require.NoError(t, err)
	require.NoError(t, bank.Flush())

	for _, id := range orders {
		order := envelope.New("/shop", "order.placed", id)
		require.NoError(t, tracer.Publish(ctx, shop, &nats.Msg{Subject: "orders.placed", Data: []byte("2 cups")}, order))
	}
	cons, err := in.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	batch, err := cons.Fetch(len(orders))
	require.NoError(t, err)
	for m := range batch.Messages() {
		require.NoError(t, tracer.Handle(ctx, m, func(ctx context.Context, e envelope.Envelope, data []byte) error {
			ask := e.Next("/billing", "card.charge", e.ID+".charge")
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			reply, err := tracer.Request(ctx, billing.Conn(), &nats.Msg{Subject: "bank.charge"}, ask)
			if err != nil {
				return err
			}
			charged, _, err := envelope.Read(reply.Header, reply.Data)
			if err != nil {
				return err
			}
			paid := charged.Next("/billing", "order.paid", e.ID+".paid")
			seen = append(seen, e, charged, paid)
			return tracer.Publish(ctx, billing, &nats.Msg{Subject: "paid.order"}, paid)
		}))
		require.NoError(t, m.Ack())
	}
	require.NoError(t, sub.Drain())
	return seen
}

// An order through a stream, a request and its reply, and another stream is one trace,
// and its envelopes are one tree.
func TestThreeHops(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		seen := office(t, s, tracer, "order-1", "order-2")
		require.Equal(t, []string{
			"order-1", "  order-1.charge", "    order-1.charge.charged", "      order-1.paid",
			"order-2", "  order-2.charge", "    order-2.charge.charged", "      order-2.paid",
		}, tree(seen, "", ""))
		for _, e := range seen {
			require.Equal(t, e.ID[:7], e.Correlation)
		}
		want := []string{
			`process card.charge (server) under "request card.charge" to "request card.charge"`,
			`process order.placed (consumer) under "publish order.placed" to "publish order.placed"`,
			`publish order.paid (producer) under "process order.placed"`,
			`publish order.placed (producer) under ""`,
			`request card.charge (client) under "process order.placed"`,
		}
		traces := map[trace.TraceID]tracetest.SpanStubs{}
		for _, s := range spans.GetSpans() {
			traces[s.SpanContext.TraceID()] = append(traces[s.SpanContext.TraceID()], s)
		}
		require.Len(t, traces, 2)
		for _, spans := range traces {
			require.Equal(t, want, edges(spans))
		}
	})
}

// tree returns the causes as text.
func tree(all []envelope.Envelope, cause, indent string) (lines []string) {
	for _, e := range all {
		if e.Causation == cause {
			lines = append(append(lines, indent+e.ID), tree(all, e.ID, indent+"  ")...)
		}
	}
	return lines
}

// The attributes are those of the semantic conventions.
func TestAttributes(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		office(t, s, tracer, "order-1")
		for _, span := range spans.GetSpans() {
			if span.Name == "request card.charge" {
				require.ElementsMatch(t, []any{
					semconv.MessagingSystemKey.String("nats"),
					semconv.MessagingOperationName("request"), semconv.MessagingOperationTypeSend,
					semconv.MessagingDestinationName("bank.charge"),
					semconv.MessagingMessageID("order-1.charge"), semconv.MessagingMessageConversationID("order-1"),
				}, anys(span.Attributes))
			}
			if span.Name == "process card.charge" {
				require.Contains(t, span.Attributes, semconv.MessagingOperationTypeProcess)
			}
		}
	})
}

func anys[T any](in []T) (out []any) {
	for _, v := range in {
		out = append(out, v)
	}
	return out
}
