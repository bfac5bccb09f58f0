package eventstore_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// New refuses a stream with weaker settings, and Provision strengthens it. Both accept
// stronger settings and do not change them.
func TestStreamSettings(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		weaker string
	}{
		{"events expire", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "MaxAge 1h0m0s, want 0s"},
		{"a full stream drops old events", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "Discard DiscardOld"},
		{"no batches", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }, "AllowAtomicPublish false"},
		{"no direct get", func(c *jetstream.StreamConfig) { c.AllowDirect = false }, "AllowDirect false"},
		{"a smaller MaxBytes, discard new", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, ""},
		{"compression", func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression }, ""},
		{"a longer duplicate window", func(c *jetstream.StreamConfig) { c.Duplicates = time.Hour }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, js := t.Context(), natstest.Start(t).JetStream("test")
			other, err := eventstore.StreamConfig("accounts", eventstore.Config{})
			require.NoError(t, err)
			tc.change(&other)
			_, err = js.CreateStream(ctx, other)
			require.NoError(t, err)
			_, err = eventstore.New(ctx, js, "accounts", eventstore.Config{})
			if tc.weaker == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, eventstore.ErrMismatch)
				require.ErrorContains(t, err, "stream ACCOUNTS has "+tc.weaker)
			}
			require.NoError(t, eventstore.Provision(ctx, js, "accounts", eventstore.Config{}))
			_, err = eventstore.New(ctx, js, "accounts", eventstore.Config{Bind: true})
			require.NoError(t, err)
			s, err := js.Stream(ctx, "ACCOUNTS")
			require.NoError(t, err)
			if tc.weaker == "" {
				kept := s.CachedInfo().Config
				tc.change(&kept)
				require.Equal(t, kept, s.CachedInfo().Config)
			}
		})
	}
}

// NewSubscription refuses a consumer with weaker settings. It accepts stronger ones, and
// another start: a durable consumer has it from its creation.
func TestConsumerSettings(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*jetstream.ConsumerConfig)
		weaker string
	}{
		{"a shorter AckWait", func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second }, "AckWait 1s, want 30s"},
		{"a MaxDeliver that drops events", func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 }, "MaxDeliver 3, want -1"},
		{"a MaxAckPending that changes the order", func(c *jetstream.ConsumerConfig) { c.MaxAckPending = 2 }, "MaxAckPending 2, want 1"},
		{"other events", func(c *jetstream.ConsumerConfig) { c.FilterSubjects = []string{"accounts.event.ann.*.*"} }, "FilterSubjects"},
		{"a longer AckWait", func(c *jetstream.ConsumerConfig) { c.AckWait = time.Minute }, ""},
		{"another start", func(c *jetstream.ConsumerConfig) { c.OptStartSeq = 7 }, ""},
		{"a start with new events", func(c *jetstream.ConsumerConfig) { c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverNewPolicy, 0 }, ""},
		{"the types in another order", func(c *jetstream.ConsumerConfig) { slices.Reverse(c.FilterSubjects) }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, js := t.Context(), natstest.Start(t).JetStream("test")
			store := open(t, js)
			cfg := eventstore.SubscriptionConfig{Durable: "mailer", Types: []string{"opened", "closed"}}
			other, err := eventstore.ConsumerConfig("accounts", cfg)
			require.NoError(t, err)
			tc.change(&other)
			_, err = js.CreateConsumer(ctx, "ACCOUNTS", other)
			require.NoError(t, err)
			_, err = eventstore.NewSubscription(ctx, store, cfg)
			if tc.weaker == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, eventstore.ErrMismatch)
			require.ErrorContains(t, err, "consumer mailer has "+tc.weaker)
		})
	}
}

// NewSubscription accepts a consumer that an operator created with one filter.
func TestOneFilter(t *testing.T) {
	ctx, js := t.Context(), natstest.Start(t).JetStream("test")
	store := open(t, js)
	other, err := eventstore.ConsumerConfig("accounts", eventstore.SubscriptionConfig{Durable: "mailer"})
	require.NoError(t, err)
	other.FilterSubject, other.FilterSubjects = other.FilterSubjects[0], nil
	_, err = js.CreateConsumer(ctx, "ACCOUNTS", other)
	require.NoError(t, err)
	_, err = eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "mailer"})
	require.NoError(t, err)
	_, err = eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "mailer", Entity: "ann"})
	require.ErrorIs(t, err, eventstore.ErrMismatch)
}

// A durable Subscription to new events has the position of its consumer after a restart.
func TestRestartOfNew(t *testing.T) {
	ctx, js := t.Context(), natstest.Start(t).JetStream("test")
	store := open(t, js)
	v, err := store.Append(ctx, "ann", eventstore.Version{}, events(t, "old")...)
	require.NoError(t, err)
	cfg := eventstore.SubscriptionConfig{Durable: "mailer", New: true}
	_, err = eventstore.NewSubscription(ctx, store, cfg)
	require.NoError(t, err)
	_, err = store.Append(ctx, "ann", v, events(t, "new")...)
	require.NoError(t, err)
	sub, err := eventstore.NewSubscription(ctx, store, cfg)
	require.NoError(t, err)
	run, end := context.WithTimeout(ctx, 10*time.Second)
	defer end()
	got := ""
	require.NoError(t, sub.Run(run, func(_ context.Context, e eventstore.Event) error {
		got += e.ID
		end()
		return nil
	}))
	require.Equal(t, "new", got)
}
