package idempotent_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

func TestConfig(t *testing.T) {
	js, db := natstest.Start(t).JetStream("client"), newDB(t, 1)
	for field, cfg := range map[string]idempotent.Config{
		"MaxAge": {MaxAge: -1}, "Lease": {Lease: time.Millisecond}, "Replicas is -1": {Replicas: -1}, "Replicas is 6": {Replicas: 6},
		"MaxBytes": {MaxBytes: -1}, "at most MaxAge": {MaxAge: time.Minute, Lease: time.Hour},
	} {
		_, err := idempotent.NewReceiver(t.Context(), js, "mailer", cfg)
		require.ErrorIs(t, err, idempotent.ErrConfig)
		require.ErrorContains(t, err, field)
		_, err = idempotent.NewTxReceiver(t.Context(), db.DB, "mailer", cfg)
		require.ErrorIs(t, err, idempotent.ErrConfig)
		require.ErrorIs(t, idempotent.Provision(t.Context(), js, "mailer", cfg), idempotent.ErrConfig)
	}
	_, err := idempotent.NewTxReceiver(t.Context(), nil, "mailer", config)
	require.ErrorIs(t, err, idempotent.ErrConfig)
	kv, err := idempotent.NewReceiver(t.Context(), js, "mailer", config)
	require.NoError(t, err)
	_, err = kv.Once(t.Context(), "msg-1", nil)
	require.ErrorIs(t, err, idempotent.ErrConfig)
	tx, err := idempotent.NewTxReceiver(t.Context(), db.DB, "mailer", config)
	require.NoError(t, err)
	_, err = tx.Once(t.Context(), "msg-1", nil)
	require.ErrorIs(t, err, idempotent.ErrConfig)
}

// A bucket or table that exists is used or refused. Only Provision changes it.
func TestExists(t *testing.T) {
	js, db, ctx := natstest.Start(t).JetStream("client"), newDB(t, 1), t.Context()
	bind := config
	bind.Bind = true
	_, err := idempotent.NewReceiver(ctx, js, "mailer", bind)
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
	_, err = idempotent.NewTxReceiver(ctx, db.DB, "mailer", bind)
	require.ErrorContains(t, err, "idempotent_done")
	var tables int
	require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM sqlite_master WHERE name = 'idempotent_done'").Scan(&tables))
	require.Zero(t, tables)

	cfg := config
	cfg.Storage, cfg.MaxBytes, cfg.Metadata = jetstream.MemoryStorage, 1<<20, map[string]string{"owner": "mailer"}
	_, err = idempotent.NewReceiver(ctx, js, "mailer", cfg)
	require.NoError(t, err)
	stream, err := js.Stream(ctx, "KV_done-mailer")
	require.NoError(t, err)
	have := stream.CachedInfo().Config
	require.Equal(t, jetstream.MemoryStorage, have.Storage)
	require.EqualValues(t, 1<<20, have.MaxBytes)
	require.Equal(t, "mailer", have.Metadata["owner"])
	bind.Storage = jetstream.MemoryStorage
	_, err = idempotent.NewReceiver(ctx, js, "mailer", bind)
	require.NoError(t, err)

	_, err = idempotent.NewPublisher(ctx, js, "NONE")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "ALL", Sources: []*jetstream.StreamSource{{Name: "ONE"}}})
	require.NoError(t, err)
	_, err = idempotent.NewPublisher(ctx, js, "ALL")
	require.ErrorIs(t, err, idempotent.ErrMismatch)
	require.ErrorContains(t, err, "window")
}

// NewReceiver refuses a bucket with a weaker setting, and accepts a stronger one.
// Provision strengthens what is weaker, and lowers nothing.
func TestWeaker(t *testing.T) {
	js, ctx := natstest.Start(t).JetStream("client"), t.Context()
	for _, c := range []struct {
		name, weaker string
		change       func(*jetstream.KeyValueConfig)
		provision    bool // the server can change the setting
	}{
		{"a shorter MaxAge", "TTL 30m0s, want 1h0m0s", func(c *jetstream.KeyValueConfig) { c.TTL = 30 * time.Minute }, true},
		{"no keys with a time to live", "LimitMarkerTTL 0s, want 1s", func(c *jetstream.KeyValueConfig) { c.LimitMarkerTTL = 0 }, true},
		{"memory for file", "Storage", func(c *jetstream.KeyValueConfig) { c.Storage = jetstream.MemoryStorage }, false},
		{"a longer MaxAge", "", func(c *jetstream.KeyValueConfig) { c.TTL = 2 * time.Hour }, true},
		{"no MaxAge", "", func(c *jetstream.KeyValueConfig) { c.TTL = 0 }, true},
		{"a MaxBytes", "", func(c *jetstream.KeyValueConfig) { c.MaxBytes = 1 << 20 }, true},
		{"more history, compression", "", func(c *jetstream.KeyValueConfig) { c.History, c.Compression = 2, true }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			want, err := idempotent.BucketConfig("mailer", config)
			require.NoError(t, err)
			c.change(&want)
			kv, err := js.CreateKeyValue(ctx, want)
			require.NoError(t, err)
			defer func() { require.NoError(t, js.DeleteKeyValue(ctx, want.Bucket)) }()
			before, err := kv.Status(ctx)
			require.NoError(t, err)
			_, err = idempotent.NewReceiver(ctx, js, "mailer", config)
			if c.weaker == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, idempotent.ErrMismatch)
				require.ErrorContains(t, err, c.weaker)
			}
			err = idempotent.Provision(ctx, js, "mailer", config)
			if !c.provision {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			_, err = idempotent.NewReceiver(ctx, js, "mailer", config)
			require.NoError(t, err)
			after, err := kv.Status(ctx)
			require.NoError(t, err)
			if c.weaker == "" {
				require.Equal(t, before.Config(), after.Config(), "Provision lowers nothing")
			}
		})
	}
	require.NoError(t, idempotent.Provision(ctx, js, "created", config))
	_, err := js.KeyValue(ctx, "done-created")
	require.NoError(t, err)
}
