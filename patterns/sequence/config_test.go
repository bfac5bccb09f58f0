package sequence_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

func TestBadInput(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		for _, id := range []string{"", "a.b", "*", ">", "a\x00", strings.Repeat("x", 65)} {
			require.ErrorIs(t, sequence.Stamp(&nats.Msg{}, sequence.Position{ID: id, Number: 1}), sequence.ErrID, "%.20q", id)
			require.ErrorIs(t, sequence.Send(ctx, js, id, book(2)...), sequence.ErrID, "%.20q", id)
			_, err := sequence.NewResequencer(ctx, js, "PAGES", id, sequence.Config{})
			require.ErrorIs(t, err, sequence.ErrID, "%.20q", id)
		}
		require.ErrorIs(t, sequence.Stamp(&nats.Msg{}, sequence.Position{ID: "a"}), sequence.ErrPosition)
		for _, h := range []nats.Header{nil, {sequence.HeaderID: {"a"}}, {sequence.HeaderID: {"a"}, sequence.HeaderNumber: {"0"}}, {sequence.HeaderID: {"a"}, sequence.HeaderNumber: {"-1"}}, {sequence.HeaderID: {"a.b"}, sequence.HeaderNumber: {"1"}}} {
			_, err := sequence.At(h)
			require.ErrorIs(t, err, sequence.ErrPosition, "%v", h)
		}
		require.ErrorIs(t, sequence.Send(ctx, js, "a"), sequence.ErrPosition)
		require.ErrorIs(t, sequence.Send(ctx, js, "a", nil), sequence.ErrPosition)
		require.ErrorIs(t, sequence.Send(ctx, js, "a", book(maxBatch+1)...), sequence.ErrPosition)
		large := book(2)
		large[1].Data = make([]byte, 2<<20)
		require.ErrorIs(t, sequence.Send(ctx, js, "a", large...), nats.ErrMaxPayload)
		require.Zero(t, stored(t, js))
		ended, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, sequence.Send(ended, js, "a", book(2)...), context.Canceled)
		_, err := sequence.NewResequencer(ended, js, "PAGES", "book", sequence.Config{})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, sequence.Send(ctx, js, "a", &nats.Msg{Subject: "no.stream"}), nats.ErrNoResponders)
		for field, cfg := range map[string]sequence.Config{"Buffer": {Buffer: -1}, "GapTimeout": {GapTimeout: time.Millisecond}, "Replicas": {Replicas: 9}, "AckWait": {AckWait: 1}, "Grace": {Grace: -1}, "MaxBytes": {MaxBytes: -1}} {
			_, err := sequence.NewResequencer(ctx, js, "PAGES", "book", cfg)
			require.ErrorIs(t, err, sequence.ErrConfig)
			require.ErrorContains(t, err, field)
		}
		_, err = sequence.NewResequencer(ctx, js, "NONE", "book", sequence.Config{})
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		_, err = sequence.NewResequencer(ctx, js, "PAGES", "book", sequence.Config{Bind: true})
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "SEQUENCE_queue", Subjects: []string{"sequence.queue.*"}, Retention: jetstream.WorkQueuePolicy})
		require.NoError(t, err)
		_, err = sequence.NewResequencer(ctx, js, "PAGES", "queue", sequence.Config{})
		require.ErrorIs(t, err, sequence.ErrMismatch)
		require.ErrorContains(t, err, "Retention", "it loses the position of a sequence")
		require.NoError(t, sequence.Provision(ctx, js, "PAGES", "book", sequence.Config{Subjects: []string{"pages.a"}}))
		_, err = sequence.NewResequencer(ctx, js, "PAGES", "book", sequence.Config{Bind: true})
		require.ErrorIs(t, err, sequence.ErrMismatch)
		require.ErrorContains(t, err, "FilterSubjects")
		require.NoError(t, sequence.Provision(ctx, js, "PAGES", "book", sequence.Config{}))
		_, err = sequence.NewResequencer(ctx, js, "PAGES", "book", sequence.Config{Bind: true})
		require.NoError(t, err)
	})
}

// New refuses settings that are weaker than its own and accepts stronger ones. Provision
// strengthens the weaker ones and lowers nothing.
func TestWeakerAndStronger(t *testing.T) {
	for name, c := range map[string]struct {
		stream   func(*jetstream.StreamConfig)
		consumer func(*jetstream.ConsumerConfig)
		weaker   string // the refused field; accepted if empty
	}{
		"messages are dropped by age":  {stream: func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, weaker: "MaxAge"},
		"old messages are discarded":   {stream: func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, weaker: "Discard"},
		"a limit that refuses more":    {stream: func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }},
		"a longer duplicate window":    {stream: func(c *jetstream.StreamConfig) { c.Duplicates = time.Hour }},
		"a shorter AckWait":            {consumer: func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second }, weaker: "AckWait"},
		"a longer AckWait":             {consumer: func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour }},
		"no acks":                      {consumer: func(c *jetstream.ConsumerConfig) { c.AckPolicy = jetstream.AckNonePolicy }, weaker: "AckPolicy"},
		"a MaxDeliver that drops":      {consumer: func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 }, weaker: "MaxDeliver"},
		"a lower MaxAckPending":        {consumer: func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 10 }, weaker: "MaxAckPending"},
		"an unlimited MaxAckPending":   {consumer: func(c *jetstream.ConsumerConfig) { c.MaxAckPending = -1 }},
		"a consumer of other subjects": {consumer: func(c *jetstream.ConsumerConfig) { c.FilterSubjects = []string{"pages.a"} }, weaker: "FilterSubjects"},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, ctx, cfg := s.JetStream("sender"), t.Context(), sequence.Config{Storage: jetstream.MemoryStorage}
				pages(t, js)
				stream, consumer := must(sequence.StreamConfig("book", cfg)), must(sequence.ConsumerConfig("book", cfg))
				if c.stream != nil {
					c.stream(&stream)
				}
				if c.consumer != nil {
					c.consumer(&consumer)
				}
				streamBefore := must(js.CreateStream(ctx, stream)).CachedInfo().Config
				consumerBefore := must(js.CreateConsumer(ctx, "PAGES", consumer)).CachedInfo().Config
				_, err := sequence.NewResequencer(ctx, js, "PAGES", "book", cfg)
				if c.weaker != "" {
					require.ErrorIs(t, err, sequence.ErrMismatch)
					require.ErrorContains(t, err, " has "+c.weaker+" ")
				} else {
					require.NoError(t, err)
				}
				if c.weaker == "AckPolicy" { // the server does not change it
					return
				}
				require.NoError(t, sequence.Provision(ctx, js, "PAGES", "book", cfg))
				_, err = sequence.NewResequencer(ctx, js, "PAGES", "book", cfg)
				require.NoError(t, err)
				if c.weaker == "" {
					require.Equal(t, streamBefore, must(js.Stream(ctx, "SEQUENCE_book")).CachedInfo().Config)
					require.Equal(t, consumerBefore, must(js.Consumer(ctx, "PAGES", "sequence-book")).CachedInfo().Config)
				}
			})
		})
	}
}
