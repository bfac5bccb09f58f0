package durable_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// New uses a stream and a consumer as they are, or refuses them. Only Provision changes them.
func TestProvision(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("a")
	_, err := durable.NewPublisher(ctx, js, "orders", durable.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	mine := durable.Config{AckWait: time.Minute, Storage: jetstream.MemoryStorage, Metadata: map[string]string{"owner": "shop"}}
	subscribe(t, js, "desk", mine)
	_, err = durable.NewSubscriber(ctx, js, "orders", "desk", durable.Config{})
	require.ErrorIs(t, err, durable.ErrMismatch)
	require.ErrorContains(t, err, "Storage Memory, want File")
	longer := mine
	longer.AckWait = time.Hour
	_, err = durable.NewSubscriber(ctx, js, "orders", "desk", longer)
	require.ErrorIs(t, err, durable.ErrMismatch)
	require.ErrorContains(t, err, "AckWait 1m0s, want 1h0m0s")
	subscribe(t, js, "desk", durable.Config{Bind: true, Storage: jetstream.MemoryStorage})
	have, err := js.Stream(ctx, "DURABLE_orders")
	require.NoError(t, err)
	require.Equal(t, "shop", have.CachedInfo().Config.Metadata["owner"])
	require.Equal(t, jetstream.MemoryStorage, have.CachedInfo().Config.Storage)
	require.NoError(t, durable.Provision(ctx, js, "orders", []string{"desk", "audit"}, longer))
	subscribe(t, js, "desk", longer)
	longer.Bind = true
	subscribe(t, js, "audit", longer)
}

// New refuses settings that are weaker than its own and accepts stronger ones. Provision
// strengthens the weaker ones and lowers nothing.
func TestWeakerAndStronger(t *testing.T) {
	for name, c := range map[string]struct {
		stream   func(*jetstream.StreamConfig)
		consumer func(*jetstream.ConsumerConfig)
		weaker   string // the refused field; accepted if empty
	}{
		"messages expire":                  {stream: func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, weaker: "MaxAge"},
		"old messages are discarded":       {stream: func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 1<<20 }, weaker: "Discard"},
		"a shorter duplicate window":       {stream: func(c *jetstream.StreamConfig) { c.Duplicates = time.Second }, weaker: "Duplicates"},
		"a longer duplicate window":        {stream: func(c *jetstream.StreamConfig) { c.Duplicates = time.Hour }},
		"a limit that refuses messages":    {stream: func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }},
		"a shorter AckWait":                {consumer: func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second }, weaker: "AckWait"},
		"a longer AckWait":                 {consumer: func(c *jetstream.ConsumerConfig) { c.AckWait = time.Hour }},
		"a MaxDeliver that drops messages": {consumer: func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 }, weaker: "MaxDeliver"},
		"a MaxAckPending that reorders":    {consumer: func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 2 }, weaker: "MaxAckPending"},
		"a consumer of some messages":      {consumer: func(c *jetstream.ConsumerConfig) { c.FilterSubject = "durable.orders.a" }, weaker: "FilterSubject"},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				ctx, js := t.Context(), s.JetStream("owner")
				stream, err := durable.StreamConfig("orders", durable.Config{})
				require.NoError(t, err)
				consumer, err := durable.ConsumerConfig("desk", durable.Config{})
				require.NoError(t, err)
				if c.stream != nil {
					c.stream(&stream)
				}
				if c.consumer != nil {
					c.consumer(&consumer)
				}
				st, err := js.CreateStream(ctx, stream)
				require.NoError(t, err)
				cons, err := st.CreateConsumer(ctx, consumer)
				require.NoError(t, err)
				streamBefore, consumerBefore := st.CachedInfo().Config, cons.CachedInfo().Config
				_, err = durable.NewSubscriber(ctx, js, "orders", "desk", durable.Config{})
				if c.weaker != "" {
					require.ErrorIs(t, err, durable.ErrMismatch)
					require.ErrorContains(t, err, " has "+c.weaker+" ")
				} else {
					require.NoError(t, err)
				}
				require.NoError(t, durable.Provision(ctx, js, "orders", []string{"desk"}, durable.Config{}))
				subscribe(t, js, "desk", durable.Config{})
				if c.weaker == "" {
					st, err = js.Stream(ctx, "DURABLE_orders")
					require.NoError(t, err)
					require.Equal(t, streamBefore, st.CachedInfo().Config)
					cons, err = st.Consumer(ctx, "desk")
					require.NoError(t, err)
					require.Equal(t, consumerBefore, cons.CachedInfo().Config)
				}
			})
		})
	}
}
