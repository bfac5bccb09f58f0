package shared

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// A bucket discards new writes when it is full, so a limit of bytes loses nothing.
func TestStrengthenBucket(t *testing.T) {
	want := jetstream.KeyValueConfig{Bucket: "b", Replicas: 1, LimitMarkerTTL: time.Minute}
	for name, tc := range map[string]struct {
		have jetstream.KeyValueConfig
		err  string
	}{
		"a limit of bytes": {jetstream.KeyValueConfig{Bucket: "b", Replicas: 3, MaxBytes: 1000, LimitMarkerTTL: time.Hour}, ""},
		"keys that expire": {jetstream.KeyValueConfig{Bucket: "b", Replicas: 1, TTL: time.Hour, LimitMarkerTTL: time.Minute}, "TTL 1h0m0s, want 0s"},
		"no marker":        {jetstream.KeyValueConfig{Bucket: "b", Replicas: 1}, "LimitMarkerTTL 0s, want 1m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := strengthen(tc.have, want, nil)
			if tc.err == "" {
				require.NoError(t, err)
				require.Equal(t, tc.have, got)
				return
			}
			require.EqualError(t, err, tc.err)
			again, err := strengthen(got, want, nil)
			require.NoError(t, err)
			require.Equal(t, got, again)
		})
	}
}
