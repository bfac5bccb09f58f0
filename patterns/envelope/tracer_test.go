package envelope_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

func nothing(context.Context, envelope.Envelope, []byte) error { return nil }

func fetch(t *testing.T, s jetstream.Stream, n int) (msgs []jetstream.Msg, again func() jetstream.Msg) {
	cons, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	next := func() jetstream.Msg {
		m, err := cons.Next()
		require.NoError(t, err)
		return m
	}
	for range n {
		msgs = append(msgs, next())
	}
	return msgs, next
}

// A redelivered message has the same ID and trace context, and a span for each delivery.
func TestRedelivered(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		js := s.JetStream("shop")
		orders := stream(t, js, "ORDERS", "orders")
		require.NoError(t, tracer.Publish(t.Context(), js, &nats.Msg{Subject: "orders"}, envelope.New("/shop", "order.placed", "1")))
		var ids []string
		see := func(_ context.Context, e envelope.Envelope, _ []byte) error { ids = append(ids, e.ID); return nil }
		msgs, again := fetch(t, orders, 1)
		require.NoError(t, tracer.Handle(t.Context(), msgs[0], see))
		require.NoError(t, msgs[0].Nak())
		require.NoError(t, tracer.Handle(t.Context(), again(), see))
		require.Equal(t, []string{"1", "1"}, ids)
		require.Equal(t, []string{
			`process order.placed (consumer) under "publish order.placed" to "publish order.placed"`,
			`process order.placed (consumer) under "publish order.placed" to "publish order.placed"`,
			`publish order.placed (producer) under ""`,
		}, edges(spans.GetSpans()))
	})
}

func TestBatch(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		js := s.JetStream("shop")
		orders := stream(t, js, "ORDERS", "orders")
		for _, typ := range []string{"a", "b"} {
			require.NoError(t, tracer.Publish(t.Context(), js, &nats.Msg{Subject: "orders"}, envelope.New("/shop", typ, typ)))
		}
		_, err := js.Publish(t.Context(), "orders", []byte("no envelope"))
		require.NoError(t, err)
		msgs, _ := fetch(t, orders, 3)
		require.NoError(t, tracer.Batch(t.Context(), msgs, func(context.Context) error { return nil }))
		require.Equal(t, []string{
			`process (consumer) under "" to "publish a" to "publish b"`,
			`publish a (producer) under ""`, `publish b (producer) under ""`,
		}, edges(spans.GetSpans()))
	})
}

// A message that was produced before it is sent, as with an outbox, keeps its trace
// context. The sender links to it.
func TestProducedBefore(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		m, e := &nats.Msg{Subject: "orders"}, envelope.New("/shop", "order.placed", "1")
		e.TraceParent = parent
		require.NoError(t, tracer.Send(t.Context(), s.Connect("relay"), m, e))
		require.Equal(t, parent, m.Header.Get("traceparent"))
		span := spans.GetSpans()[0]
		require.False(t, span.Parent.IsValid())
		require.Equal(t, "00f067aa0ba902b7", span.Links[0].SpanContext.SpanID().String())
	})
}

// A handler that publishes passes the trace state on, with tracing or without.
func TestTraceState(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		_, tracer := recorder(t)
		for _, tracer := range []*envelope.Tracer{tracer, envelope.NewTracer(nil)} {
			in, out := &nats.Msg{Subject: "a"}, &nats.Msg{Subject: "b"}
			require.NoError(t, envelope.Write(in, full()))
			require.NoError(t, tracer.Serve(t.Context(), in, func(ctx context.Context, e envelope.Envelope, _ []byte) error {
				return tracer.Send(ctx, s.Connect("a"), out, e.Next("/b", "b", "b"))
			}))
			require.Equal(t, "vendor=1,other=2", out.Header.Get("tracestate"))
		}
	})
}

// A service without tracing passes the trace on. Only its own span is missing.
func TestNoTracing(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		silent, nc := envelope.NewTracer(noop.NewTracerProvider()), s.Connect("a")
		first, second := &nats.Msg{Subject: "a"}, &nats.Msg{Subject: "b"}
		a := envelope.New("/a", "a", "a")
		require.NoError(t, tracer.Send(t.Context(), nc, first, a))
		require.NoError(t, silent.Serve(t.Context(), first, func(ctx context.Context, e envelope.Envelope, _ []byte) error {
			return silent.Send(ctx, nc, second, e.Next("/b", "b", "b"))
		}))
		require.NoError(t, tracer.Serve(t.Context(), second, nothing))
		require.Equal(t, []string{`process b (consumer) under "publish a" to "publish a"`, `publish a (producer) under ""`}, edges(spans.GetSpans()))

		// And where nobody traces, nothing is written.
		require.NoError(t, silent.Send(t.Context(), nc, first, a))
		require.NotContains(t, first.Header, "traceparent")
	})
}

// The mutant: OpenTelemetry's carrier for HTTP headers, which writes and reads
// Traceparent. NATS headers are case-sensitive, so it does not find the header of
// others, and others find its header only if they read any case, as Read does.
func TestCanonicalCase(t *testing.T) {
	w3c, lost := propagation.TraceContext{}, 0
	for range 100 {
		m := &nats.Msg{}
		require.NoError(t, envelope.Write(m, full()))
		ctx := w3c.Extract(t.Context(), propagation.HeaderCarrier(http.Header(m.Header)))
		if !trace.SpanContextFromContext(ctx).IsValid() {
			lost++
		}
	}
	require.Equal(t, 100, lost)

	mutant := nats.Header{}
	w3c.Inject(w3c.Extract(t.Context(), propagation.MapCarrier{"traceparent": parent}), propagation.HeaderCarrier(http.Header(mutant)))
	require.Equal(t, nats.Header{"Traceparent": {parent}}, mutant)
	require.Empty(t, mutant.Get("traceparent"), "as a peer in another language looks for it")
	for name, v := range with("ce-traceparent") {
		if name != "traceparent" {
			mutant[name] = v
		}
	}
	e, _, err := envelope.Read(mutant, nil)
	require.NoError(t, err)
	require.Equal(t, parent, e.TraceParent)
}

// A sampled traceparent starts the message tracing of the server.
func TestServerTraces(t *testing.T) {
	opts := &server.Options{DontListen: true, NoLog: true, NoSigs: true}
	require.NoError(t, opts.ProcessConfigString(`accounts { A { users [ {user: a, password: a} ], msg_trace: { dest: "traced" } } }`))
	s, err := server.NewServer(opts)
	require.NoError(t, err)
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	require.True(t, s.ReadyForConnections(5*time.Second))
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserInfo("a", "a"))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	traced, err := nc.SubscribeSync("traced")
	require.NoError(t, err)
	for traceparent, want := range map[string]string{parent: "/shop sampled", parent[:53] + "00": "", "": ""} {
		e := envelope.New("/shop", "order.placed", "sampled")
		e.TraceParent = traceparent
		m := &nats.Msg{Subject: "orders"}
		require.NoError(t, envelope.Write(m, e))
		require.NoError(t, nc.PublishMsg(m))
		require.NoError(t, nc.Flush())
		got, err := traced.NextMsg(200 * time.Millisecond)
		if want == "" {
			require.ErrorIs(t, err, nats.ErrTimeout, traceparent)
			continue
		}
		require.NoError(t, err)
		require.Contains(t, string(got.Data), want)
	}
}
