package perkey_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

func TestBadInput(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("owner"), t.Context()
		ended, cancel := context.WithCancel(ctx)
		cancel()
		err := perkey.Publish(ctx, js, "bank", deposit("a"))
		require.ErrorIs(t, err, jetstream.ErrNoStreamResponse)
		require.ErrorContains(t, err, "Provision")
		_, err = perkey.NewDispatcher(ctx, js, "bank", "books", perkey.Config{Bind: true})
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		_, err = perkey.NewDispatcher(ended, js, "bank", "books", perkey.Config{})
		require.ErrorIs(t, err, context.Canceled)

		d, err := perkey.NewDispatcher(ctx, js, "bank", "books", quiet(perkey.Config{}))
		require.NoError(t, err)
		for _, id := range []string{"", "a.b", "*", ">", "a\x00", strings.Repeat("x", 65)} {
			require.ErrorIs(t, perkey.Publish(ctx, js, "bank", deposit(id)), perkey.ErrID, "%.20q", id)
			require.ErrorIs(t, perkey.Publish(ctx, js, id, deposit("a")), perkey.ErrID, "%.20q", id)
			_, err := perkey.NewDispatcher(ctx, js, "bank", id, perkey.Config{})
			require.ErrorIs(t, err, perkey.ErrID, "%.20q", id)
			require.ErrorIs(t, perkey.Provision(ctx, js, "bank", id, perkey.Config{}), perkey.ErrID, "%.20q", id)
			require.ErrorIs(t, perkey.Provision(ctx, js, id, "books", perkey.Config{}), perkey.ErrID, "%.20q", id)
		}
		require.ErrorIs(t, perkey.Publish(ctx, js, "bank", event("a", 0, 1)), perkey.ErrVersion)
		require.ErrorIs(t, perkey.Publish(ctx, js, "bank", event("a", math.MaxInt64+1, 1)), perkey.ErrVersion, "no version follows the highest one")
		require.ErrorIs(t, perkey.Publish(ctx, js, "bank", perkey.Event{Key: "a", Version: 1, Data: make([]byte, 2<<20)}), nats.ErrMaxPayload)
		require.ErrorIs(t, perkey.Publish(ended, js, "bank", deposit("a")), context.Canceled)
		for field, cfg := range map[string]perkey.Config{
			"Concurrency": {Concurrency: -1}, "Buffer": {Buffer: 1}, "GapTimeout": {GapTimeout: 1}, "Partitions": {Partitions: -1}, "Assigned": {Assigned: []int{1}},
			"Takeover": {Takeover: time.Second}, "Grace": {Grace: -1}, "Replicas": {Replicas: 6},
		} {
			_, err := perkey.NewDispatcher(ctx, js, "bank", "books", cfg)
			require.ErrorIs(t, err, perkey.ErrConfig)
			require.ErrorContains(t, err, field)
			require.ErrorIs(t, perkey.Provision(ctx, js, "bank", "books", cfg), perkey.ErrConfig)
		}
		require.ErrorIs(t, d.Run(ctx, nil), perkey.ErrConfig)
		require.NoError(t, d.Run(ended, newBank(0)))
		require.ErrorIs(t, d.Run(ctx, newBank(0)), perkey.ErrAlreadyRun)

		closed := s.Connect("closed")
		d, err = perkey.NewDispatcher(ctx, must(jetstream.New(closed)), "bank", "books", quiet(perkey.Config{}))
		require.NoError(t, err)
		closed.Close()
		require.ErrorIs(t, d.Run(ctx, newBank(0)), nats.ErrConnectionClosed)
		require.ErrorIs(t, perkey.Publish(ctx, must(jetstream.New(closed)), "bank", deposit("a")), nats.ErrConnectionClosed)
	})
}

// New refuses weaker settings. Provision changes them, and lowers nothing.
func TestProvision(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("owner")
	mine := quiet(perkey.Config{Partitions: 2, Metadata: map[string]string{"owner": "bank"}})
	require.NoError(t, perkey.Provision(ctx, js, "bank", "books", mine))
	st := must(js.Stream(ctx, "PERKEY_bank"))
	require.Equal(t, "bank", st.CachedInfo().Config.Metadata["owner"])
	require.Equal(t, jetstream.MemoryStorage, st.CachedInfo().Config.Storage)
	for p := range 2 {
		want, err := perkey.ConsumerConfig("bank", "books", p, mine)
		require.NoError(t, err)
		require.Equal(t, want.FilterSubject, must(st.Consumer(ctx, want.Durable)).CachedInfo().Config.FilterSubject)
	}
	_, err := perkey.NewDispatcher(ctx, js, "bank", "books", quiet(perkey.Config{Partitions: 2, Bind: true}))
	require.NoError(t, err)
	_, err = perkey.NewDispatcher(ctx, js, "bank", "books", quiet(perkey.Config{Partitions: 3}))
	require.ErrorIs(t, err, perkey.ErrMismatch)
	require.ErrorContains(t, err, "SubjectTransform")
	_, err = perkey.NewDispatcher(ctx, js, "bank", "books", quiet(perkey.Config{Partitions: 2, Takeover: time.Minute}))
	require.ErrorIs(t, err, perkey.ErrMismatch)
	require.ErrorContains(t, err, "AckWait 10s, want 1m0s")
	mine.Takeover = time.Minute
	require.NoError(t, perkey.Provision(ctx, js, "bank", "books", mine))
	_, err = perkey.NewDispatcher(ctx, js, "bank", "books", mine)
	require.NoError(t, err)
}

// New refuses settings that are weaker than its own and accepts stronger ones. Provision
// strengthens the weaker ones and lowers nothing.
func TestWeakerAndStronger(t *testing.T) {
	for name, c := range map[string]struct {
		stream   func(*jetstream.StreamConfig)
		consumer func(*jetstream.ConsumerConfig)
		weaker   string // the refused field; accepted if empty
	}{
		"messages are dropped by age":     {stream: func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, weaker: "MaxAge"},
		"old messages are discarded":      {stream: func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, weaker: "Discard"},
		"a shorter duplicate window":      {stream: func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }, weaker: "Duplicates"},
		"a longer duplicate window":       {stream: func(c *jetstream.StreamConfig) { c.Duplicates = time.Hour }},
		"a limit that refuses events":     {stream: func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }},
		"a shorter AckWait":               {consumer: func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second }, weaker: "AckWait"},
		"a longer AckWait":                {consumer: func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour }},
		"a MaxDeliver that drops":         {consumer: func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 }, weaker: "MaxDeliver"},
		"a lower MaxAckPending":           {consumer: func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 10 }, weaker: "MaxAckPending"},
		"an unlimited MaxAckPending":      {consumer: func(c *jetstream.ConsumerConfig) { c.MaxAckPending = -1 }},
		"a consumer of another partition": {consumer: func(c *jetstream.ConsumerConfig) { c.FilterSubject = "perkey.bank.1.*" }, weaker: "FilterSubject"},
		"a consumer without a pinned client": {consumer: func(c *jetstream.ConsumerConfig) {
			c.PriorityPolicy, c.PinnedTTL = jetstream.PriorityPolicyOverflow, 0
		}, weaker: "PriorityPolicy"},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, ctx, cfg := s.JetStream("owner"), t.Context(), quiet(perkey.Config{})
				stream, consumer := must(perkey.StreamConfig("bank", cfg)), must(perkey.ConsumerConfig("bank", "books", 0, cfg))
				if c.stream != nil {
					c.stream(&stream)
				}
				if c.consumer != nil {
					c.consumer(&consumer)
				}
				made := must(js.CreateStream(ctx, stream))
				must(made.CreateConsumer(ctx, consumer))
				streamBefore, consumerBefore := made.CachedInfo().Config, must(made.Consumer(ctx, consumer.Durable)).CachedInfo().Config
				_, err := perkey.NewDispatcher(ctx, js, "bank", "books", cfg)
				if c.weaker != "" {
					require.ErrorIs(t, err, perkey.ErrMismatch)
					require.ErrorContains(t, err, " has "+c.weaker+" ")
				} else {
					require.NoError(t, err)
				}
				require.NoError(t, perkey.Provision(ctx, js, "bank", "books", cfg))
				_, err = perkey.NewDispatcher(ctx, js, "bank", "books", cfg)
				require.NoError(t, err)
				made = must(js.Stream(ctx, "PERKEY_bank"))
				if c.weaker == "" {
					require.Equal(t, streamBefore, made.CachedInfo().Config)
					require.Equal(t, consumerBefore, must(made.Consumer(ctx, consumer.Durable)).CachedInfo().Config)
				}
			})
		})
	}
}
