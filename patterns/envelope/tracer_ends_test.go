package envelope_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

// Without a reply, a request ends with its context, or after 5 s.
func TestRequestEnds(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		asker, silent := s.Connect("asker"), s.Connect("silent")
		_ = must(silent.SubscribeSync("ask"))
		require.NoError(t, silent.Flush())
		for want, deadline := range map[time.Duration]func(context.Context) (context.Context, context.CancelFunc){
			5 * time.Second: context.WithCancel,
			time.Second: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, time.Second)
			},
		} {
			ctx, cancel := deadline(t.Context())
			stuck := time.AfterFunc(time.Minute, cancel)
			start := time.Now()
			_, err := tracer.Request(ctx, asker, &nats.Msg{Subject: "ask"}, full())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, want, time.Since(start))
			stuck.Stop()
			cancel()
		}
		for _, span := range spans.GetSpans() { // and not of the wrapping around it
			require.Contains(t, span.Attributes, semconv.ErrorType(context.DeadlineExceeded))
		}
	})
}

// The span of a handler that panics has an error.
func TestPanic(t *testing.T) {
	spans, tracer := recorder(t)
	m := &nats.Msg{Subject: "s"}
	require.NoError(t, envelope.Write(m, full()))
	require.PanicsWithValue(t, "boom", func() {
		_ = tracer.Serve(t.Context(), m, func(context.Context, envelope.Envelope, []byte) error { panic("boom") })
	})
	require.PanicsWithValue(t, "boom", func() {
		_ = tracer.Batch(t.Context(), nil, func(context.Context) error { panic("boom") })
	})
	require.Len(t, spans.GetSpans(), 2)
	for _, span := range spans.GetSpans() {
		require.Equal(t, sdktrace.Status{Code: codes.Error, Description: "envelope: the handler panicked"}, span.Status, span.Name)
	}
}

// A batch has no link to a bad trace context. The SDK keeps the last 128 links of a span
// by default.
func TestBatchLinks(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		js := s.JetStream("shop")
		orders := stream(t, js, "ORDERS", "orders")
		for i := range 130 {
			m, e := &nats.Msg{Subject: "orders"}, envelope.New("/shop", "a", strconv.Itoa(i))
			if e.TraceParent = parent; i == 129 {
				e.TraceParent = "00-none"
			}
			require.NoError(t, envelope.Write(m, e))
			_, err := js.PublishMsgAsync(m)
			require.NoError(t, err)
		}
		<-js.PublishAsyncComplete()
		msgs, _ := fetch(t, orders, 130)
		for n, of := range map[int][]jetstream.Msg{0: msgs[129:], 1: msgs[128:], 128: msgs} {
			spans.Reset()
			require.NoError(t, tracer.Batch(t.Context(), of, func(context.Context) error { return nil }))
			span := spans.GetSpans()[0]
			require.Contains(t, span.Attributes, semconv.MessagingBatchMessageCount(len(of)))
			require.Len(t, span.Links, n)
			for i, l := range span.Links {
				require.Equal(t, parent[36:52], l.SpanContext.SpanID().String())
				require.Contains(t, l.Attributes, semconv.MessagingMessageID(strconv.Itoa(129-n+i)))
			}
		}
	})
}
