package envelope_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

func TestWriteRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*envelope.Envelope)
		says   string
	}{
		"no id":                         {func(e *envelope.Envelope) { e.ID = "" }, "id is missing"},
		"no source":                     {func(e *envelope.Envelope) { e.Source = "" }, "source is missing"},
		"no type":                       {func(e *envelope.Envelope) { e.Type = "" }, "type is missing"},
		"only spaces":                   {func(e *envelope.Envelope) { e.Type = "  " }, `type "  " is not printable text`},
		"a header smuggled in":          {func(e *envelope.Envelope) { e.ID = "1\r\nNats-Rollup: all" }, `id "1\r\nNats-Rollup: all" is not printable text`},
		"a control character":           {func(e *envelope.Envelope) { e.Subject = "a\u0085b" }, "subject"},
		"no UTF-8":                      {func(e *envelope.Envelope) { e.Correlation = "\xff" }, "correlationid"},
		"too long":                      {func(e *envelope.Envelope) { e.Causation = strings.Repeat("x", 1025) }, "causationid has 1025 bytes; use at most 1024"},
		"source is not a URI reference": {func(e *envelope.Envelope) { e.Source = "1:shop" }, `source "1:shop" is not a URI reference`},
		"a host that is none":           {func(e *envelope.Envelope) { e.Source = "//a b/" }, `source "//a b/" is not a URI reference`},
		"no media type":                 {func(e *envelope.Envelope) { e.ContentType = "json;" + "=" }, "datacontenttype"},
		"a trace that smuggles":         {func(e *envelope.Envelope) { e.TraceState = "a=1\r\nNats-TTL: 1s" }, "tracestate"},
		"a year of five digits":         {func(e *envelope.Envelope) { e.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "is not a time of RFC 3339"},
	} {
		t.Run(name, func(t *testing.T) {
			e, m := full(), &nats.Msg{Header: nats.Header{"ce-id": {"as it was"}}}
			c.change(&e)
			err := envelope.Write(m, e)
			require.ErrorIs(t, err, envelope.ErrEnvelope)
			require.ErrorContains(t, err, c.says)
			require.Equal(t, nats.Header{"ce-id": {"as it was"}}, m.Header)
		})
	}
}

func TestReadRefuses(t *testing.T) {
	json := nats.Header{"content-type": {"application/cloudevents+json"}}
	for name, c := range map[string]struct {
		header nats.Header // in place of the good one's
		body   string
		is     error
		says   string
	}{
		"nothing":                     {nats.Header{}, "", envelope.ErrNoEnvelope, "no envelope"},
		"JSON that is no event":       {nats.Header{}, `{"id":"1"}`, envelope.ErrNoEnvelope, "no envelope"},
		"JSON in another case":        {nats.Header{}, `{"SpecVersion":"1.0"}`, envelope.ErrNoEnvelope, "no envelope"},
		"an old version":              {with("ce-specversion", "0.3"), "", envelope.ErrEnvelope, `specversion is "0.3"; use 1.0`},
		"no version":                  {with("ce-specversion"), `{"specversion":"1.0","id":"1"}`, envelope.ErrEnvelope, "specversion is missing"},
		"no id":                       {with("ce-id"), "", envelope.ErrEnvelope, "id is missing"},
		"an empty id":                 {with("ce-id", ""), "", envelope.ErrEnvelope, "id is empty"},
		"two ids":                     {with("ce-id", "1", "2"), "", envelope.ErrEnvelope, "id occurs more than once"},
		"two ids in two cases":        {with("CE-ID", "2"), "", envelope.ErrEnvelope, "id occurs more than once"},
		"a bad time":                  {with("ce-time", "yesterday"), "", envelope.ErrEnvelope, `time "yesterday" is not a time of RFC 3339`},
		"an overlong space":           {with("ce-id", "%C0%A0"), "", envelope.ErrEnvelope, "id"},
		"an encoded line break":       {with("ce-id", "1%0D%0Ax"), "", envelope.ErrEnvelope, "id"},
		"too long":                    {with("ce-type", strings.Repeat("x", 1025)), "", envelope.ErrEnvelope, "type has 1025 bytes"},
		"both modes":                  {with("Content-Type", "application/cloudevents+json"), "", envelope.ErrEnvelope, "content-type means structured"},
		"a batch of events":           {nats.Header{"content-type": {"application/cloudevents-batch+json"}}, "[]", envelope.ErrEnvelope, "body is not a JSON object"},
		"structured, and broken":      {json, "{", envelope.ErrEnvelope, "body is not a JSON object"},
		"structured, without version": {json, `{"id":"1","source":"/s","type":"t"}`, envelope.ErrEnvelope, "specversion is missing"},
		"structured, id a number":     {json, `{"specversion":"1.0","id":1}`, envelope.ErrEnvelope, "id is 1, not a string"},
		"structured, no base64":       {json, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"?"}`, envelope.ErrEnvelope, "data_base64"},
		"structured, two ids":         {json, `{"specversion":"1.0","id":"1","source":"/s","type":"t","id":"2"}`, envelope.ErrEnvelope, `body has "id" more than once`},
		"two ids, and no word of it":  {nats.Header{}, `{"specversion":"1.0","id":"1","source":"/s","type":"t","id":"2"}`, envelope.ErrEnvelope, `body has "id" more than once`},
		"structured, no UTF-8":        {json, `{"specversion":"1.0","id":"` + "\xff" + `","source":"/s","type":"t"}`, envelope.ErrEnvelope, "UTF-8"},
		"structured, more behind it":  {json, `{"specversion":"1.0","id":"1","source":"/s","type":"t"} {}`, envelope.ErrEnvelope, "body is not a JSON object"},
		"an id of two quotes":         {with("ce-id", `""`), "", envelope.ErrEnvelope, "id is empty"},
		"structured, data twice":      {json, `{"specversion":"1.0","id":"1","source":"/s","type":"t","data_base64":"","data":1}`, envelope.ErrEnvelope, "data_base64"},
	} {
		t.Run(name, func(t *testing.T) {
			e, data, err := envelope.Read(c.header, []byte(c.body))
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.says)
			require.Zero(t, e)
			require.Nil(t, data)
		})
	}
}

// with returns a valid header with one change.
func with(name string, values ...string) nats.Header {
	m := &nats.Msg{}
	if err := envelope.Write(m, full()); err != nil {
		panic(err)
	}
	if m.Header[name] = values; values == nil {
		delete(m.Header, name)
	}
	return m.Header
}

// Other producers write allowed variations.
func TestReadAccepts(t *testing.T) {
	for name, c := range map[string]struct {
		header nats.Header
		want   func(*envelope.Envelope)
	}{
		"quotes":                           {with("ce-subject", `"a \"b\" \\ \c"`), func(e *envelope.Envelope) { e.Subject = `a "b" \ c` }},
		"needless percents, in lower case": {with("ce-subject", "%6frder"), func(e *envelope.Envelope) { e.Subject = "order" }},
		"another time zone":                {with("ce-time", "2026-11-03T14:00:00.5+02:00"), func(e *envelope.Envelope) { e.Time = noon.Add(time.Second / 2) }},
		"the content type of HTTP":         {without("ce-datacontenttype", "Content-Type", "text/csv"), func(e *envelope.Envelope) { e.ContentType = "text/csv" }},
		"an attribute we do not know":      {with("ce-partitionkey", "7"), func(e *envelope.Envelope) {}},
		"the trace of the carriage only":   {without("ce-traceparent", "tracestate", "b=1"), func(e *envelope.Envelope) { e.TraceState = "b=1" }},
		"another trace of the carriage":    {with("traceparent", other), func(e *envelope.Envelope) {}},
		"two traces of the carriage":       {without("ce-traceparent", "Traceparent", other), func(e *envelope.Envelope) {}},
		"a state of trace that is none":    {without("ce-traceparent", "tracestate", "a\tb"), func(e *envelope.Envelope) { e.TraceParent, e.TraceState = "", "" }},
		"a state of no trace":              {without("ce-traceparent", "traceparent", ""), func(e *envelope.Envelope) { e.TraceParent, e.TraceState = "", "" }},
		"too long a state of trace":        {without("ce-traceparent", "tracestate", strings.Repeat("x", 1025)), func(e *envelope.Envelope) { e.TraceParent, e.TraceState = "", "" }},
		"a trace that is none":             {without("ce-traceparent", "traceparent", "x y"), func(e *envelope.Envelope) { e.TraceParent, e.TraceState = "", "" }},
	} {
		t.Run(name, func(t *testing.T) {
			want := full()
			c.want(&want)
			for range 20 { // in whatever order the headers are gone through
				got, _, err := envelope.Read(c.header, nil)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
		})
	}
}

func without(name, set, value string) nats.Header {
	h := with(set, value)
	delete(h, name)
	delete(h, "ce-tracestate")
	if !strings.HasPrefix(name, "ce-trace") {
		h["ce-tracestate"] = []string{"vendor=1,%20other=2"}
	}
	return h
}

func TestTracerRefuses(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		spans, tracer := recorder(t)
		js, ctx, good := s.JetStream("a"), t.Context(), func(context.Context, envelope.Envelope, []byte) error { return nil }
		nc := js.Conn()
		m := &nats.Msg{Subject: "nowhere", Data: make([]byte, nc.MaxPayload())}
		over, end := context.WithCancel(ctx)
		end()
		require.ErrorIs(t, tracer.Send(ctx, nc, m, full()), nats.ErrMaxPayload)
		m.Data = nil
		require.ErrorIs(t, tracer.Send(over, nc, m, full()), context.Canceled)
		require.ErrorIs(t, tracer.Publish(over, js, m, full()), context.Canceled)
		require.ErrorIs(t, tracer.Publish(ctx, js, m, envelope.Envelope{}), envelope.ErrEnvelope)
		require.ErrorContains(t, tracer.Publish(ctx, js, m, full()), "envelope: publish order-1.paid to nowhere: nats: no response from stream")
		_, err := tracer.Request(ctx, nc, m, full())
		require.ErrorIs(t, err, nats.ErrNoResponders)
		require.ErrorIs(t, tracer.Serve(ctx, m, nil), envelope.ErrConfig)
		require.ErrorIs(t, tracer.Batch(ctx, nil, nil), envelope.ErrConfig)
		require.ErrorIs(t, tracer.Serve(ctx, &nats.Msg{Subject: "s"}, good), envelope.ErrNoEnvelope)
		poison := errors.New("cannot")
		require.ErrorIs(t, tracer.Serve(ctx, m, func(context.Context, envelope.Envelope, []byte) error { return poison }), poison)
		nc.Close()
		require.ErrorIs(t, tracer.Send(ctx, nc, m, full()), nats.ErrConnectionClosed)

		for _, span := range spans.GetSpans() { // all were seen to fail
			require.Equal(t, "Error", span.Status.Code.String(), span.Name)
			require.Len(t, span.Events, 1, span.Name)
		}
		require.Len(t, spans.GetSpans(), 8)
	})
}
