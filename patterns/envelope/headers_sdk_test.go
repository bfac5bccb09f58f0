package envelope_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	binding "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	sdk "github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/format"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/natspatterns/catalog/patterns/envelope"
)

// toSDK returns an envelope and a payload as an event of the SDK.
func toSDK(t require.TestingT, e envelope.Envelope, data []byte) event.Event {
	ev := event.New()
	ev.SetID(e.ID)
	ev.SetSource(e.Source)
	ev.SetType(e.Type)
	ev.SetSubject(e.Subject)
	if !e.Time.IsZero() {
		ev.SetTime(e.Time)
	}
	ev.SetDataContentType(e.ContentType)
	for name, v := range map[string]string{"correlationid": e.Correlation, "causationid": e.Causation, "traceparent": e.TraceParent, "tracestate": e.TraceState} {
		if v != "" {
			ev.SetExtension(name, v)
		}
	}
	ev.DataEncoded = data
	require.NoError(t, ev.Validate())
	return ev
}

func isJSON(e envelope.Envelope) bool {
	return e.ContentType == "" || strings.HasSuffix(e.ContentType, "json")
}

// The SDK reads our envelopes, and we read its events: in binary mode and, written by
// the SDK, in structured mode.
func TestSDK(t *testing.T) {
	send, ctx := echo(t), context.Background()
	rapid.Check(t, func(t *rapid.T) {
		e, body := anyEnvelope(t, ascii), rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "body")
		if isJSON(e) {
			body, _ = json.Marshal(rapid.OneOf(rapid.String().AsAny(), rapid.MapOf(rapid.String(), rapid.Int()).AsAny()).Draw(t, "json"))
		}
		if e.ContentType == "text/plain" {
			body = []byte(rapid.StringN(1, -1, -1).Draw(t, "text"))
		}
		m := &nats.Msg{Subject: "orders", Data: body}
		require.NoError(t, envelope.Write(m, e))
		theirs, err := sdk.ToEvent(ctx, binding.NewMessage(send(m)))
		require.NoError(t, err)
		require.NoError(t, theirs.Validate())
		require.Equal(t, toSDK(t, e, body), *theirs)

		var out bytes.Buffer
		ev := toSDK(t, e, body)
		header, err := binding.WriteMsg(ctx, (*sdk.EventMessage)(&ev), &out)
		require.NoError(t, err)
		m = send(&nats.Msg{Subject: "orders", Header: header, Data: out.Bytes()})
		ours, data, err := envelope.Read(m.Header, m.Data)
		require.NoError(t, err)
		require.Equal(t, e, ours)
		require.Equal(t, body, data)

		if strings.HasSuffix(e.ContentType, "+json") {
			return // which the SDK takes for text, and the JSON format for JSON
		}
		ev.DataBase64 = e.ContentType == "image/png"
		text, err := format.JSON.Marshal(&ev)
		require.NoError(t, err)
		said := nats.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}
		for _, header := range []nats.Header{nil, said} {
			m = send(&nats.Msg{Subject: "orders", Header: header, Data: text})
			ours, data, err = envelope.Read(m.Header, m.Data)
			require.NoError(t, err)
			require.Equal(t, e, ours)
			if isJSON(e) {
				require.JSONEq(t, string(body), string(data))
			} else {
				require.Equal(t, body, data)
			}
		}
	})
}

// The binding percent-encodes values; the SDK neither encodes nor decodes. So we read
// its values, except those that look encoded, and it reads ours in encoded form.
func TestSDKDoesNotEncode(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct{ value, toUs, toSDK string }{
		{"plain", "plain", "plain"},
		{"two words", "two words", "two%20words"},
		{"André €", "André €", "Andr%C3%A9%20%E2%82%AC"},
		{"100%", "100%", "100%25"},
		{"%41", "A", "%2541"},
	} {
		e := envelope.Envelope{ID: "1", Source: "/s", Type: "t", Subject: c.value}
		m := &nats.Msg{}
		require.NoError(t, envelope.Write(m, e))
		theirs, err := sdk.ToEvent(ctx, binding.NewMessage(m))
		require.NoError(t, err)
		require.Equal(t, c.toSDK, theirs.Subject())

		ev := toSDK(t, e, nil)
		header, err := binding.WriteMsg(ctx, (*sdk.EventMessage)(&ev), new(bytes.Buffer))
		require.NoError(t, err)
		ours, _, err := envelope.Read(header, nil)
		require.NoError(t, err)
		require.Equal(t, c.toUs, ours.Subject)
	}
}

// The payload of an event in structured mode is JSON if its media type is, and otherwise
// text or bytes.
func TestStructured(t *testing.T) {
	for _, c := range []struct{ members, want string }{
		{`"data":"a"`, `"a"`},
		{`"data":{"a": 1},"datacontenttype":"application/json; charset=utf-8"`, `{"a": 1}`},
		{`"data":"a","datacontenttype":"text/json"`, `"a"`},
		{`"data":"a","datacontenttype":"Application/VND.x+JSON"`, `"a"`},
		{`"data":"a","datacontenttype":"text/plain"`, `a`},
		{`"data":{"a": 1},"datacontenttype":"text/plain"`, `{"a": 1}`},
		{`"data_base64":"AP8=","datacontenttype":"application/json"`, "\x00\xff"},
		{`"subject":null,"comexampleint":7`, ""},
	} {
		e, data, err := envelope.Read(nil, []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t",`+c.members+`}`))
		require.NoError(t, err)
		require.Equal(t, "1/s", e.ID+e.Source)
		require.Equal(t, c.want, string(data), c.members)
	}
}
