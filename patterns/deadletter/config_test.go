package deadletter_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

func TestConfig(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("a"), t.Context()
	for field, cfg := range map[string]deadletter.Config{
		"MaxDeliver": {MaxDeliver: -1}, "Backoff": {Backoff: -1}, "MaxAge": {MaxAge: time.Millisecond}, "Replicas": {Replicas: -1},
		"Grace": {Grace: -1}, "MaxBytes": {MaxBytes: -1},
	} {
		_, err := deadletter.NewChannel(ctx, js, "orders", cfg)
		require.ErrorIs(t, err, deadletter.ErrConfig)
		require.ErrorContains(t, err, field)
		require.ErrorIs(t, deadletter.Provision(ctx, js, "orders", cfg), deadletter.ErrConfig)
	}
	_, err := deadletter.NewCollector(ctx, js, "orders", "ORDERS", deadletter.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)

	mine := deadletter.Config{MaxAge: time.Hour, Storage: jetstream.MemoryStorage, Metadata: map[string]string{"owner": "shop"}}
	_, err = deadletter.NewCollector(ctx, js, "orders", "ORDERS", mine)
	require.NoError(t, err)
	_, err = deadletter.NewChannel(ctx, js, "orders", deadletter.Config{})
	require.ErrorIs(t, err, deadletter.ErrMismatch)
	require.ErrorContains(t, err, "MaxAge 1h0m0s, want 0s")
	_, err = deadletter.NewCollector(ctx, js, "orders", "ORDERS", deadletter.Config{Bind: true, MaxAge: time.Hour, Storage: jetstream.MemoryStorage})
	require.NoError(t, err, "other metadata is not weaker")
	dead, err := js.Stream(ctx, "DEAD_orders")
	require.NoError(t, err)
	require.Equal(t, "shop", dead.CachedInfo().Config.Metadata["owner"])

	mine.MaxAge = 2 * time.Hour
	require.NoError(t, deadletter.Provision(ctx, js, "orders", mine, "ORDERS", "BASKETS"))
	mine.Bind = true
	_, err = deadletter.NewCollector(ctx, js, "orders", "BASKETS", mine)
	require.NoError(t, err)
}

// New refuses what is weaker than asked, and accepts what is stronger. Provision changes
// what is weaker.
func TestStrength(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("a"), t.Context()
	for _, c := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		weaker bool
	}{
		{"two letters on a subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 }, true},
		{"old letters are discarded", func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 1000 }, true},
		{"letters expire", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, true},
		{"other subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"dead.orders.a.*.*.*"} }, true},
		{"limited with discard new", func(c *jetstream.StreamConfig) { c.MaxBytes = 1000 }, false},
		{"compressed", func(c *jetstream.StreamConfig) { c.Compression = jetstream.S2Compression }, false},
		{"described", func(c *jetstream.StreamConfig) { c.Description = "of the shop" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			have, err := deadletter.StreamConfig("orders", deadletter.Config{})
			require.NoError(t, err)
			c.change(&have)
			_, err = js.CreateStream(ctx, have)
			require.NoError(t, err)
			defer func() { require.NoError(t, js.DeleteStream(ctx, "DEAD_orders")) }()
			_, err = deadletter.NewChannel(ctx, js, "orders", deadletter.Config{})
			require.Equal(t, c.weaker, errors.Is(err, deadletter.ErrMismatch), "%v", err)
			require.NoError(t, deadletter.Provision(ctx, js, "orders", deadletter.Config{}))
			_, err = deadletter.NewChannel(ctx, js, "orders", deadletter.Config{})
			require.NoError(t, err)
		})
	}
}
