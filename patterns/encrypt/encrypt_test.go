package encrypt_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/encrypt"
)

func TestBadInput(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		for _, c := range []struct {
			js     jetstream.JetStream
			bucket string
			cfg    encrypt.Config
			want   error
			text   string
		}{
			{js, "keys", encrypt.Config{Bind: true}, jetstream.ErrStreamNotFound, "vault keys"},
			{js, "keys", encrypt.Config{Replicas: -1}, encrypt.ErrConfig, "Replicas is -1"},
			{js, "keys", encrypt.Config{MaxBytes: -1}, encrypt.ErrConfig, "MaxBytes is -1"},
			{js, "k.*", encrypt.Config{}, encrypt.ErrID, "k.*"},
			{nil, "keys", encrypt.Config{}, encrypt.ErrConfig, "js is nil"},
		} {
			_, err := encrypt.NewVault(ctx, c.js, c.bucket, c.cfg)
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, c.text)
			if !c.cfg.Bind {
				require.ErrorIs(t, encrypt.Provision(ctx, c.js, c.bucket, c.cfg), c.want)
			}
		}
		require.ErrorIs(t, encrypt.Redact(ctx, nil, "X", 1), encrypt.ErrConfig)
		require.ErrorIs(t, encrypt.Redact(ctx, js, "X", 1), jetstream.ErrStreamNotFound)
		require.ErrorIs(t, encrypt.RedactSubject(ctx, js, "X", ">"), jetstream.ErrStreamNotFound)

		must(js.CreateStream(ctx, jetstream.StreamConfig{Name: "X"}))
		must(js.Publish(ctx, "X", nil))
		for _, filter := range []string{"", "X.", "X y"} { // the server finds nothing on it: that is no success
			require.ErrorIs(t, encrypt.RedactSubject(ctx, js, "X", filter), encrypt.ErrConfig, "%q", filter)
		}

		v := open(t, js, encrypt.Config{Storage: jetstream.MemoryStorage})
		for _, person := range []string{"", "a.b", "*", ">", "a b", "a\x00", strings.Repeat("a", 65)} {
			_, err := v.Seal(ctx, person, nil)
			require.ErrorIs(t, err, encrypt.ErrID, "%q", person)
			_, err = v.Open(ctx, person, nil)
			require.ErrorIs(t, err, encrypt.ErrID, "%q", person)
			require.ErrorIs(t, v.Forget(ctx, person), encrypt.ErrID, "%q", person)
		}
		must(must(js.KeyValue(ctx, "keys")).Put(ctx, "odd", []byte("17 bytes, no key.")))
		_, err := v.Seal(ctx, "odd", nil)
		require.ErrorContains(t, err, "invalid key size 17")

		sealed := must(v.Seal(ctx, "p-1", nil))
		ended, stop := context.WithCancel(ctx)
		stop()
		_, err = v.Seal(ended, "p-1", nil)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, v.Forget(ended, "p-1"), context.Canceled)
		require.ErrorIs(t, encrypt.Redact(ended, js, "KV_keys", 1), context.Canceled)

		s.Link("clinic").Down()
		start := time.Now()
		_, err = v.Open(ctx, "p-1", sealed)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 10*time.Second, time.Since(start))
		s.Link("clinic").Up()
		js.Conn().Close()
		_, err = v.Open(ctx, "p-1", sealed)
		require.ErrorIs(t, err, nats.ErrConnectionClosed)
	})
}

// A full bucket refuses a new key, and with it the Seal; it drops no key.
func TestFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, v := t.Context(), open(t, s.JetStream("clinic"), encrypt.Config{MaxBytes: 200, Storage: jetstream.MemoryStorage})
		ann, err := v.Seal(ctx, "p-1", []byte("Ann"))
		require.NoError(t, err)
		_, err = v.Seal(ctx, "p-2", []byte("Bob"))
		require.ErrorContains(t, err, "maximum bytes exceeded")
		require.Equal(t, "Ann", string(must(v.Open(ctx, "p-1", ann))))
		require.NoError(t, v.Forget(ctx, "p-1"))
		_, err = v.Seal(ctx, "p-2", []byte("Bob"))
		require.NoError(t, err)
	})
}

// A bucket that CreateKeyValue makes denies deletes: a purged key stays on the disk.
func TestBucketKeepsKeys(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		kv := must(js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "keys", History: 1}))
		must(kv.Put(ctx, "p-1", []byte("a very secret key")))
		require.NoError(t, kv.Purge(ctx, "p-1"))
		require.Equal(t, 1, onDisk(t, s, []byte("a very secret key")))
		_, err := encrypt.NewVault(ctx, js, "keys", encrypt.Config{})
		require.ErrorIs(t, err, encrypt.ErrMismatch)
		require.ErrorContains(t, err, "DenyDelete true, want false")
		for field, change := range map[string]func(*jetstream.StreamConfig){
			"AllowDirect true, want false":  func(c *jetstream.StreamConfig) { c.AllowDirect = true },
			"MaxMsgsPerSubject 5, want 1":   func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 },
			"MaxAge 1h0m0s, want 0s":        func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
			"Storage Memory, want File":     func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
			"Discard DiscardOld, want Disc": func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld },
		} {
			cfg := must(encrypt.StreamConfig("other", encrypt.Config{}))
			change(&cfg)
			must(js.CreateStream(ctx, cfg))
			_, err = encrypt.NewVault(ctx, js, "other", encrypt.Config{})
			require.ErrorIs(t, err, encrypt.ErrMismatch)
			require.ErrorContains(t, err, field)
			require.NoError(t, js.DeleteStream(ctx, "KV_other"))
		}
	})
}

// Provision changes what keeps a key from being destroyed, and keeps what is stronger.
func TestProvision(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("clinic")
		cfg := must(encrypt.StreamConfig("keys", encrypt.Config{}))
		cfg.AllowDirect, cfg.MaxBytes, cfg.Description = true, 1<<20, "by the operator"
		must(js.CreateStream(ctx, cfg))
		_, err := encrypt.NewVault(ctx, js, "keys", encrypt.Config{})
		require.ErrorIs(t, err, encrypt.ErrMismatch)
		require.NoError(t, encrypt.Provision(ctx, js, "keys", encrypt.Config{}))
		open(t, js, encrypt.Config{Bind: true})
		have := must(js.Stream(ctx, "KV_keys")).CachedInfo().Config
		require.False(t, have.AllowDirect)
		require.Equal(t, int64(1<<20), have.MaxBytes)
		require.Equal(t, "by the operator", have.Description)
		require.NoError(t, encrypt.Provision(ctx, js, "keys", encrypt.Config{}))
		require.NoError(t, encrypt.Provision(ctx, js, "new", encrypt.Config{Metadata: map[string]string{"by": "us"}}))
		require.Equal(t, "us", must(js.Stream(ctx, "KV_new")).CachedInfo().Config.Metadata["by"])
	})
}
