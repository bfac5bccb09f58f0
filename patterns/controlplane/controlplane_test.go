package controlplane_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
)

// NewAgent refuses a bucket with weaker settings and accepts stronger ones.
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
			tc.have.Bucket = "control"
			kv, err := js.CreateKeyValue(ctx, tc.have)
			require.NoError(t, err)
			before, err := kv.Status(ctx)
			require.NoError(t, err)
			_, err = controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{})
			if tc.field == "" {
				require.NoError(t, err)
				require.NoError(t, controlplane.Provision(ctx, js, controlplane.Config{}))
				after, err := kv.Status(ctx)
				require.NoError(t, err)
				require.Equal(t, before.(*jetstream.KeyValueBucketStatus).Config(), after.(*jetstream.KeyValueBucketStatus).Config())
				return
			}
			require.ErrorIs(t, err, controlplane.ErrMismatch)
			require.ErrorContains(t, err, tc.field)
			if tc.field == "Storage" {
				return // the server does not change the storage of a stream
			}
			require.NoError(t, controlplane.Provision(ctx, js, controlplane.Config{}))
			_, err = controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{})
			require.NoError(t, err)
		})
	}
}

func TestBind(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("t")
	_, err := controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{Bucket: "other", Bind: true})
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
	_, err = js.KeyValue(ctx, "other")
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound, "Bind creates nothing")
}
