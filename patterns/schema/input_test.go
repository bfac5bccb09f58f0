package schema_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schema"
)

func TestBadInput(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		ctx, js := t.Context(), s.JetStream("clinic")
		good := VisitV1{"p-1", "Ann Lee", 20}
		_, err := schema.NewChannel(ctx, js, one, schema.Config{Bind: true})
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		_, err = schema.NewVault(ctx, js, "keys", schema.Config{Bind: true})
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		_, err = schema.NewChannel(ctx, js, one, schema.Config{Replicas: 6})
		require.ErrorIs(t, err, schema.ErrConfig)
		require.ErrorContains(t, err, "Replicas 6")
		_, err = schema.NewVault(ctx, js, "keys", schema.Config{Replicas: -1})
		require.ErrorIs(t, err, schema.ErrConfig)
		_, err = schema.NewVault(ctx, js, "k.*", schema.Config{})
		require.ErrorIs(t, err, schema.ErrID)
		_, err = schema.NewChannel[VisitV1](ctx, js, nil, schema.Config{})
		require.ErrorIs(t, err, schema.ErrConfig)
		_, _, err = schema.Streams("a b", schema.Config{})
		require.ErrorIs(t, err, schema.ErrID)
		require.ErrorIs(t, schema.Provision(ctx, js, "", schema.Config{}), schema.ErrID)
		require.ErrorIs(t, schema.Provision(ctx, nil, "visit", schema.Config{}), schema.ErrConfig)
		_, err = schema.NewVault(ctx, nil, "keys", schema.Config{})
		require.ErrorIs(t, err, schema.ErrConfig)

		c := open(t, js, one)
		for _, id := range []string{"", "a.b", "*", ">", "a b", "a\x00", strings.Repeat("a", 65)} {
			_, err = c.Publish(ctx, id, good)
			require.ErrorIs(t, err, schema.ErrID, "%q", id)
		}
		_, err = c.Publish(ctx, "ann", VisitV1{"", "Ann Lee", 20})
		require.ErrorIs(t, err, schema.ErrSchema)
		_, err = c.Publish(ctx, "ann", VisitV1{"p-1", strings.Repeat("x", 1<<20), 20})
		require.ErrorIs(t, err, nats.ErrMaxPayload)
		require.ErrorContains(t, err, "send a reference")
		require.Empty(t, stored(t, js, "SCHEMA_visit"))

		ended, stop := context.WithCancel(ctx)
		stop()
		_, err = c.Publish(ended, "ann", good)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, c.Redact(ended, 1), context.Canceled)
		require.ErrorIs(t, c.Redact(ctx, 0), schema.ErrNoEvent)
		_, err = schema.NewChannel(ended, js, one, schema.Config{})
		require.ErrorIs(t, err, context.Canceled)

		cons := consumer(t, js, "billing")
		handle := seen(new([]string), minutes)
		_, err = c.Guard(ctx, cons, nil)
		require.ErrorIs(t, err, schema.ErrConfig)
		_, err = c.Guard(ctx, nil, handle)
		require.ErrorIs(t, err, schema.ErrConfig)
		for _, cfg := range []jetstream.ConsumerConfig{{Durable: "few", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5}, {Durable: "none", AckPolicy: jetstream.AckNonePolicy},
			{Durable: "headers", AckPolicy: jetstream.AckExplicitPolicy, HeadersOnly: true}} {
			bad, err := js.CreateConsumer(ctx, "SCHEMA_visit", cfg)
			require.NoError(t, err)
			_, err = c.Guard(ctx, bad, handle)
			require.ErrorIs(t, err, schema.ErrMismatch)
		}
		other, err := js.CreateConsumer(ctx, "INVALID_visit", jetstream.ConsumerConfig{Durable: "other", AckPolicy: jetstream.AckExplicitPolicy})
		require.NoError(t, err)
		_, err = c.Guard(ctx, other, handle)
		require.ErrorContains(t, err, "Stream INVALID_visit, want SCHEMA_visit")

		// A message that comes after the end of ctx is handed back.
		_, err = c.Publish(ctx, "ann", good)
		require.NoError(t, err)
		h, err := c.Guard(ended, cons, handle)
		require.NoError(t, err)
		m, err := cons.Next()
		require.NoError(t, err)
		h(m)
		m, err = cons.Next(jetstream.FetchMaxWait(2 * time.Second))
		require.NoError(t, err)
		require.NoError(t, m.Ack())

		js.Conn().Close()
		_, err = c.Publish(ctx, "ann", good)
		require.ErrorIs(t, err, nats.ErrConnectionClosed)
	})
}

func TestStreamsAreLeftAlone(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		ctx, js := t.Context(), s.JetStream("clinic")
		events, _, err := schema.Streams("visit", schema.Config{})
		require.NoError(t, err)
		events.DenyDelete, events.MaxAge = true, time.Hour
		_, err = js.CreateStream(ctx, events)
		require.NoError(t, err)
		_, err = schema.NewChannel(ctx, js, one, schema.Config{})
		require.ErrorIs(t, err, schema.ErrMismatch)
		require.ErrorContains(t, err, "stream SCHEMA_visit has DenyDelete true, want false")
		require.NoError(t, js.DeleteStream(ctx, "SCHEMA_visit"))

		events.DenyDelete, events.AllowDirect = false, true
		_, err = js.CreateStream(ctx, events)
		require.NoError(t, err)
		_, err = schema.NewChannel(ctx, js, one, schema.Config{})
		require.ErrorContains(t, err, "AllowDirect true, want false")
		require.NoError(t, js.DeleteStream(ctx, "SCHEMA_visit"))

		events.AllowDirect = false
		_, err = js.CreateStream(ctx, events)
		require.NoError(t, err)
		c, err := schema.NewChannel(ctx, js, one, schema.Config{Metadata: map[string]string{"by": "us"}})
		require.NoError(t, err)
		require.NotNil(t, c)
		have := func() jetstream.StreamConfig { return must(js.Stream(ctx, "SCHEMA_visit")).CachedInfo().Config }
		require.Equal(t, time.Hour, have().MaxAge)
		require.NoError(t, schema.Provision(ctx, js, "visit", schema.Config{}))
		require.Zero(t, have().MaxAge)
	})
}

// What is too large for a copy with its reason stays where it is, and is told of.
func TestTooLargeToCopy(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		open(t, js, one)
		m := as("invoice", 1, 1, strings.Repeat("x", 1<<20-200))
		_, err := js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
		wordy := as("invoice", 1, 1, "{}")
		wordy.Header.Set("Note", strings.Repeat("x", 65_300)) // a stream takes 64 KiB of headers
		_, err = js.PublishMsg(t.Context(), wordy)
		require.NoError(t, err)
		stop := read(t, js, one, "billing", seen(new([]string), minutes))
		time.Sleep(time.Second)
		stop()
		diverted := stored(t, js, "INVALID_visit")
		require.Len(t, diverted, 2)
		for _, d := range diverted {
			require.Equal(t, "true", d.Header.Get(schema.HeaderLeft), "%s: %d bytes, note of %d", d.Header.Get(schema.HeaderSequence), len(d.Data), len(d.Header.Get("Note")))
			require.Equal(t, "another type", d.Header.Get(schema.HeaderReason))
			require.Empty(t, d.Data)
		}
	})
}
