package envelope_test

import (
	"context"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

func TestMain(m *testing.M) {
	for name, value := range map[string]string{"rapid.checks": "300", "rapid.nofailfile": "true"} { // which flags can change
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	natstest.Main(m)
}

var noon = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

const (
	parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	other  = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01"
)

// full has all attributes; some need encoding.
func full() envelope.Envelope {
	return envelope.Envelope{
		ID: "order-1.paid", Source: "/billing", Type: "order.paid", Time: noon, Subject: `10% off, "André" €`, ContentType: "application/json",
		Correlation: "order-1", Causation: "order-1", TraceParent: parent, TraceState: "vendor=1, other=2",
	}
}

// The headers are exactly those of the NATS binding of CloudEvents.
func TestHeaders(t *testing.T) {
	m := &nats.Msg{Header: nats.Header{"Mine": {"stays"}, "Ce-Causationid": {"of another"}, "ce-foo": {"too"}, "Traceparent": {"too"}, "Content-Type": {"text/csv"}}}
	require.NoError(t, envelope.Write(m, full()))
	require.Equal(t, nats.Header{
		"Mine":               {"stays"},
		"ce-specversion":     {"1.0"},
		"ce-id":              {"order-1.paid"},
		"ce-source":          {"/billing"},
		"ce-type":            {"order.paid"},
		"ce-time":            {"2026-11-03T12:00:00Z"},
		"ce-subject":         {`10%25%20off,%20%22Andr%C3%A9%22%20%E2%82%AC`},
		"ce-datacontenttype": {"application/json"},
		"ce-correlationid":   {"order-1"},
		"ce-causationid":     {"order-1"},
		"ce-traceparent":     {parent},
		"ce-tracestate":      {"vendor=1,%20other=2"},
		"traceparent":        {parent},
		"tracestate":         {"vendor=1, other=2"},
		"Nats-Msg-Id":        {"/billing order-1.paid"},
	}, m.Header)

	least := &nats.Msg{Header: nats.Header{"content-type": {"no media type;="}}} // which Read would refuse
	require.NoError(t, envelope.Write(least, envelope.Envelope{ID: "1", Source: "/s", Type: "t"}))
	require.Equal(t, nats.Header{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/s"}, "ce-type": {"t"}, "Nats-Msg-Id": {"/s 1"}}, least.Header)
}

func TestNext(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		order := envelope.New("/shop", "order.placed", "order-1")
		require.Equal(t, envelope.Envelope{ID: "order-1", Source: "/shop", Type: "order.placed", Time: time.Now().Round(0), Correlation: "order-1"}, order)
		order.TraceParent = parent
		time.Sleep(time.Second)
		paid := order.Next("/billing", "order.paid", order.ID+".paid")
		require.Equal(t, "order-1", paid.Correlation)
		require.Equal(t, "order-1", paid.Causation)
		require.Equal(t, time.Second, paid.Time.Sub(order.Time))
		require.Empty(t, paid.TraceParent, "it is not made yet")
		sent := paid.Next("/depot", "order.sent", paid.ID+".sent")
		require.Equal(t, "order-1", sent.Correlation)
		require.Equal(t, "order-1.paid", sent.Causation)

		// The causation is the ID only, and two sources can use the same.
		own := order.Next("/billing", "order.paid", order.ID)
		require.Equal(t, own.ID, own.Causation)

		stray := envelope.Envelope{ID: "7"} // of one who names no conversation
		require.Equal(t, "7", stray.Next("/s", "t", "8").Correlation)
	})
}

var printable = rapid.StringOfN(rapid.Rune(), 1, 100, 256).Filter(func(s string) bool {
	return strings.TrimSpace(s) != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || 0x7f <= r && r < 0xa0 })
})

// ascii are the characters that need no encoding in a header.
var ascii = rapid.StringMatching(`[!#$&-~]{1,60}`)

func anyEnvelope(t *rapid.T, text *rapid.Generator[string]) envelope.Envelope {
	maybe := rapid.OneOf(rapid.Just(""), text)
	e := envelope.Envelope{
		ID: text.Draw(t, "id"), Type: text.Draw(t, "type"), Subject: maybe.Draw(t, "subject"),
		Source:      rapid.StringMatching(`(https?://[a-z]{1,9}\.example)?/[A-Za-z0-9._~-]{1,20}(/[a-z]{1,5})?`).Draw(t, "source"),
		ContentType: rapid.SampledFrom([]string{"", "application/json", "text/plain", "image/png", "application/vnd.x+json"}).Draw(t, "content type"),
		Correlation: maybe.Draw(t, "correlation"), Causation: maybe.Draw(t, "causation"),
	}
	if rapid.Bool().Draw(t, "timed") {
		e.Time = time.Unix(rapid.Int64Range(-62135596799, 253402300799).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
	}
	if rapid.Bool().Draw(t, "traced") {
		e.TraceParent = parent
		e.TraceState = rapid.SampledFrom([]string{"", "a=1", "b=2,a=1"}).Draw(t, "state")
	}
	return e
}

// echo publishes messages on orders through a server and returns them as received.
func echo(t *testing.T) func(*nats.Msg) *nats.Msg {
	s := natstest.Start(t)
	a, b := s.Connect("a"), s.Connect("b")
	sub, err := b.SubscribeSync("orders")
	require.NoError(t, err)
	require.NoError(t, b.Flush())
	return func(m *nats.Msg) *nats.Msg {
		require.NoError(t, a.PublishMsg(m))
		got, err := sub.NextMsg(5 * time.Second)
		require.NoError(t, err)
		return got
	}
}

func TestAnyEnvelope(t *testing.T) {
	send := echo(t)
	rapid.Check(t, func(t *rapid.T) {
		e, body := anyEnvelope(t, printable), rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		m := &nats.Msg{Subject: "orders", Data: body}
		require.NoError(t, envelope.Write(m, e))
		m = send(m)
		got, data, err := envelope.Read(m.Header, m.Data)
		require.NoError(t, err)
		require.Equal(t, e, got)
		require.Equal(t, string(body), string(data))

		shouted := nats.Header{} // by one who thinks that case does not matter
		for name, v := range m.Header {
			shouted[strings.ToUpper(name)] = v
		}
		got, _, err = envelope.Read(shouted, nil)
		require.NoError(t, err)
		require.Equal(t, e, got)

		// Written again, it is the new one only.
		next := e.Next("/next", "next", "next")
		require.NoError(t, envelope.Write(m, next))
		got, _, err = envelope.Read(m.Header, nil)
		require.NoError(t, err)
		next.Time = next.Time.UTC()
		require.Equal(t, next, got)
	})
}

// A stream drops a message as a duplicate if source and ID are the same, and not if only
// one of them is.
func TestMessageID(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("shop"), context.Background()
		orders := stream(t, js, "ORDERS", "orders.>")
		publish := func(source, id string) {
			e := envelope.New(source, "order.placed", id)
			require.NoError(t, envelope.NewTracer(nil).Publish(ctx, js, &nats.Msg{Subject: "orders.new"}, e))
		}
		publish("/shop", "1")
		publish("/shop", "1")
		publish("/shop", "2")
		publish("/kiosk", "1")
		publish("/shop", "1 1") // nor does a space confuse them
		publish("/shop%201", "1")
		require.EqualValues(t, 5, info(t, orders).State.Msgs)
	})
}
