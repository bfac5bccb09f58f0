package envelope_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/natspatterns/catalog/patterns/envelope"
)

// anyForeign is a message from outside, with headers that could do harm or look like
// ours.
func anyForeign(t *rapid.T) *nats.Msg {
	name := rapid.OneOf(rapid.StringMatching(`[A-Za-z-]{1,12}`), rapid.SampledFrom([]string{
		"ce-id", "Ce-Id", "ce-specversion", "outer-ce-id", "outer-", "Outer-x", "traceparent", "Traceparent", "tracestate",
		"Nats-Msg-Id", "Nats-Rollup", "Nats-TTL", "Nats-Expected-Last-Sequence", "Nats-Trace-Dest", "content-type", "Content-Type",
	}))
	value := rapid.OneOf(rapid.StringMatching(`[!-~]{0,8}( [!-~]{1,8})?`), rapid.SampledFrom([]string{"application/cloudevents+json", parent, "é", "%41", `"q"`}))
	return &nats.Msg{
		Subject: "orders", Reply: rapid.SampledFrom([]string{"", "reply.here"}).Draw(t, "reply"),
		Header: nats.Header(rapid.MapOfN(name, rapid.SliceOfN(value, 1, 3), 0, 6).Draw(t, "header")),
		Data:   rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
	}
}

func same(t require.TestingT, want, got *nats.Msg) {
	require.Equal(t, want.Subject, got.Subject)
	require.Equal(t, want.Reply, got.Reply)
	require.Equal(t, string(want.Data), string(got.Data))
	require.Equal(t, len(want.Header), len(got.Header))
	for name, values := range want.Header {
		require.Equal(t, values, got.Header[name], name)
	}
}

// Inside, a message from outside has our envelope and none of its headers. Unwrap returns
// it as it was.
func TestWrap(t *testing.T) {
	send := echo(t)
	rapid.Check(t, func(t *rapid.T) {
		foreign := send(anyForeign(t))
		e := anyEnvelope(t, printable)
		in, err := envelope.Wrap(foreign, e)
		require.NoError(t, err)
		in = send(in)
		got, data, err := envelope.Read(in.Header, in.Data)
		require.NoError(t, err)
		require.Equal(t, e, got)
		require.Equal(t, string(foreign.Data), string(data))
		plain := &nats.Msg{}
		require.NoError(t, envelope.Write(plain, e))
		for name, values := range in.Header {
			require.True(t, strings.HasPrefix(name, "outer-") || slices.Equal(plain.Header[name], values), "the foreign header %s has effect", name)
		}
		in.Header.Set("Nats-Stream", "SECRET") // as a republishing stream does
		same(t, foreign, send(envelope.Unwrap(in)))

		// A message can be wrapped twice.
		twice, err := envelope.Wrap(in, e)
		require.NoError(t, err)
		same(t, foreign, envelope.Unwrap(envelope.Unwrap(twice)))
	})
}

func TestUnwrapOurs(t *testing.T) {
	m := &nats.Msg{Subject: "s", Data: []byte("body"), Header: nats.Header{"Internal": {"note"}}}
	require.NoError(t, envelope.Write(m, full()))
	require.Equal(t, &nats.Msg{Subject: "s", Data: []byte("body")}, envelope.Unwrap(m))

	_, err := envelope.Wrap(m, envelope.Envelope{})
	require.ErrorIs(t, err, envelope.ErrEnvelope)
}
