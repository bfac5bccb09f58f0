package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
)

// NewCandidate refuses a bucket with weaker settings and accepts stronger ones.
// Provision strengthens a weaker bucket and does not lower a stronger one.
func TestBucket(t *testing.T) {
	for _, tc := range []struct {
		name  string
		have  jetstream.KeyValueConfig
		field string // that is weaker
	}{
		{"without a time to live for keys", jetstream.KeyValueConfig{}, "LimitMarkerTTL"},
		{"a shorter marker", jetstream.KeyValueConfig{LimitMarkerTTL: 2 * time.Second}, "LimitMarkerTTL"},
		{"every key expires", jetstream.KeyValueConfig{TTL: time.Hour, LimitMarkerTTL: time.Minute}, "TTL"},
		{"in memory", jetstream.KeyValueConfig{Storage: jetstream.MemoryStorage, LimitMarkerTTL: time.Minute}, "Storage"},
		{"a longer marker", jetstream.KeyValueConfig{LimitMarkerTTL: time.Hour}, ""},
		{"a history", jetstream.KeyValueConfig{History: 5, LimitMarkerTTL: time.Minute}, ""},
		{"a limit of bytes", jetstream.KeyValueConfig{MaxBytes: 1 << 20, LimitMarkerTTL: time.Minute}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := natstest.Start(t)
			ctx, js := t.Context(), s.JetStream("t")
			tc.have.Bucket = "jobs"
			kv, err := js.CreateKeyValue(ctx, tc.have)
			require.NoError(t, err)
			before, err := kv.Status(ctx)
			require.NoError(t, err)
			_, err = lease.NewCandidate(ctx, js, "leader", "ann", config)
			if tc.field == "" {
				require.NoError(t, err)
				require.NoError(t, lease.Provision(ctx, js, config))
				after, err := kv.Status(ctx)
				require.NoError(t, err)
				require.Equal(t, before.(*jetstream.KeyValueBucketStatus).Config(), after.(*jetstream.KeyValueBucketStatus).Config())
				return
			}
			require.ErrorIs(t, err, lease.ErrMismatch)
			require.ErrorContains(t, err, tc.field)
			if tc.field == "Storage" {
				return // the server does not change the storage of a stream
			}
			require.NoError(t, lease.Provision(ctx, js, config))
			_, err = lease.NewCandidate(ctx, js, "leader", "ann", config)
			require.NoError(t, err)
		})
	}
}

func TestBind(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("t")
	_, err := lease.NewCandidate(ctx, js, "leader", "ann", lease.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
	_, err = js.KeyValue(ctx, "leases")
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound, "Bind creates nothing")
}

// A client of a leaf node uses a bucket in the JetStream domain of the hub.
func TestDomain(t *testing.T) {
	hub := natstest.NewHub(t)
	leaf := hub.Leaf("edge")
	js, err := jetstream.NewWithDomain(leaf.Connect("ann"), "hub")
	require.NoError(t, err)
	c, err := lease.NewCandidate(t.Context(), js, "leader", "ann", config)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	require.NoError(t, c.Run(ctx, func(ctx context.Context, term *lease.Term) error {
		defer stop()
		_, err := term.Put(ctx, "next", []byte("7"))
		assert.NoError(t, err)
		return nil
	}))
	kv, err := hub.JetStream("reader").KeyValue(t.Context(), "jobs")
	require.NoError(t, err)
	next, err := kv.Get(t.Context(), "next")
	require.NoError(t, err)
	require.Equal(t, "7", string(next.Value()))
}
