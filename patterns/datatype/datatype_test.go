package datatype_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datatype"
	"github.com/natspatterns/catalog/patterns/schema"
)

func TestBadInput(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		ctx, js := t.Context(), s.JetStream("clinic")
		good := VisitV1{"p-1", "Ann Lee", 20}
		for _, c := range []struct {
			js    jetstream.JetStream
			name  string
			codec datatype.Codec[VisitV1]
			cfg   datatype.Config
			want  error
			text  string
		}{
			{js, "visit", one, datatype.Config{Bind: true}, jetstream.ErrStreamNotFound, "stream DATATYPE_visit"},
			{js, "visit", one, datatype.Config{Replicas: -1}, datatype.ErrConfig, "Replicas is -1"},
			{js, "visit", one, datatype.Config{MaxBytes: -1}, datatype.ErrConfig, "MaxBytes is -1"},
			{js, "visit", nil, datatype.Config{}, datatype.ErrConfig, "the codec is nil"},
			{nil, "visit", one, datatype.Config{}, datatype.ErrConfig, "js is nil"},
			{js, "a b", one, datatype.Config{}, datatype.ErrID, "a b"},
		} {
			_, err := datatype.NewChannel(ctx, c.js, c.name, c.codec, c.cfg)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.text)
			if c.codec != nil && !c.cfg.Bind {
				require.ErrorIs(t, datatype.Provision(ctx, c.js, c.name, c.cfg), c.want)
			}
		}
		_, err := datatype.InvalidStreamConfig("a.b", datatype.Config{})
		require.ErrorIs(t, err, datatype.ErrID)

		c := open(t, js, one)
		for _, id := range []string{"", "a.b", "*", ">", "a b", "a\x00", strings.Repeat("a", 65)} {
			_, err = c.Publish(ctx, id, good)
			require.ErrorIs(t, err, datatype.ErrID, "%q", id)
		}
		_, err = c.Publish(ctx, "ann", VisitV1{"", "Ann Lee", 20})
		require.ErrorIs(t, err, schema.ErrSchema)
		_, err = c.Publish(ctx, "ann", VisitV1{"p-1", strings.Repeat("x", 1<<20), 20})
		require.ErrorIs(t, err, nats.ErrMaxPayload)
		require.ErrorContains(t, err, "publish a reference")
		require.Empty(t, stored(t, js, "DATATYPE_visit"))

		ended, stop := context.WithCancel(ctx)
		stop()
		_, err = c.Publish(ended, "ann", good)
		require.ErrorIs(t, err, context.Canceled)
		_, err = c.Correct(ended, "ann", 1, good)
		require.ErrorIs(t, err, context.Canceled)
		_, err = datatype.NewChannel(ended, js, "visit", one, memory)
		require.ErrorIs(t, err, context.Canceled)

		cons := consumer(t, js, "billing")
		handle := seen(new([]string), minutes)
		_, err = c.Guard(ctx, cons, nil)
		require.ErrorIs(t, err, datatype.ErrConfig)
		_, err = c.Guard(ctx, nil, handle)
		require.ErrorIs(t, err, datatype.ErrConfig)
		for _, cfg := range []jetstream.ConsumerConfig{{Durable: "few", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5}, {Durable: "none", AckPolicy: jetstream.AckNonePolicy},
			{Durable: "headers", AckPolicy: jetstream.AckExplicitPolicy, HeadersOnly: true}} {
			bad, err := js.CreateConsumer(ctx, "DATATYPE_visit", cfg)
			require.NoError(t, err)
			_, err = c.Guard(ctx, bad, handle)
			require.ErrorIs(t, err, datatype.ErrMismatch)
		}
		other, err := js.CreateConsumer(ctx, "INVALID_visit", jetstream.ConsumerConfig{Durable: "other", AckPolicy: jetstream.AckExplicitPolicy})
		require.NoError(t, err)
		_, err = c.Guard(ctx, other, handle)
		require.ErrorContains(t, err, "consumer other is of stream INVALID_visit, want DATATYPE_visit")

		// A message that arrives after the end of ctx is redelivered later.
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

// New refuses what is weaker than asked, or would keep a message from being erased.
// Only Provision changes what exists, and it keeps what is stronger.
func TestStreamsAreLeftAlone(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*jetstream.StreamConfig)
		refused string
	}{
		"deletes are denied":          {func(c *jetstream.StreamConfig) { c.DenyDelete = true }, "stream DATATYPE_visit has DenyDelete true, want false"},
		"replicas reply to reads":     {func(c *jetstream.StreamConfig) { c.AllowDirect = true }, "AllowDirect true, want false"},
		"messages are dropped by age": {func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "MaxAge 1h0m0s, want 0s"},
		"old messages are dropped":    {func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 9, jetstream.DiscardOld }, "Discard DiscardOld, want DiscardNew"},
		"messages are only in memory": {func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "Storage Memory, want File"},
		"new messages are refused":    {func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, ""},
		"messages are compressed":     {func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				one, _, _ := visits(t)
				ctx, js := t.Context(), s.JetStream("clinic")
				cfg := must(datatype.MessagesStreamConfig("visit", datatype.Config{}))
				c.change(&cfg)
				before := must(js.CreateStream(ctx, cfg)).CachedInfo().Config
				have := func() jetstream.StreamConfig { return must(js.Stream(ctx, "DATATYPE_visit")).CachedInfo().Config }
				_, err := datatype.NewChannel(ctx, js, "visit", one, datatype.Config{Metadata: map[string]string{"by": "us"}})
				require.Equal(t, before, have())
				if c.refused == "" {
					require.NoError(t, err)
					require.NoError(t, datatype.Provision(ctx, js, "visit", datatype.Config{}))
					require.Equal(t, before, have())
					return
				}
				require.ErrorIs(t, err, datatype.ErrMismatch)
				require.ErrorContains(t, err, c.refused)
				err = datatype.Provision(ctx, js, "visit", datatype.Config{})
				if cfg.DenyDelete || cfg.Storage == jetstream.MemoryStorage { // the server never changes these
					require.Error(t, err)
					return
				}
				require.NoError(t, err)
				must(datatype.NewChannel(ctx, js, "visit", one, datatype.Config{Bind: true}))
			})
		})
	}
}
