package encrypt_test

import (
	"crypto/aes"
	"crypto/cipher"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/encrypt"
)

const messages = 1000

// Seal and publish, beside plain code that does the same: reads the key, encrypts and
// publishes.
func BenchmarkSeal(b *testing.B) {
	ctx, js := b.Context(), natstest.Start(b).JetStream("clinic")
	v := open(b, js, encrypt.Config{Storage: jetstream.MemoryStorage})
	must(v.Seal(ctx, "p-1", nil)) // creates the key
	kv := must(js.KeyValue(ctx, "keys"))
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "VISITS", Subjects: []string{"visits.*"}, Storage: jetstream.MemoryStorage})
	require.NoError(b, err)
	payload := make([]byte, 200)
	plain := func(b *testing.B) time.Duration {
		start := time.Now()
		for range messages {
			entry, err := kv.Get(ctx, "p-1")
			require.NoError(b, err)
			block, err := aes.NewCipher(entry.Value())
			require.NoError(b, err)
			aead, err := cipher.NewGCMWithRandomNonce(block)
			require.NoError(b, err)
			_, err = js.Publish(ctx, "visits.p-1", aead.Seal(nil, nil, payload, []byte("p-1")))
			require.NoError(b, err)
		}
		return time.Since(start)
	}
	ours := func(b *testing.B) time.Duration {
		start := time.Now()
		for range messages {
			ciphertext, err := v.Seal(ctx, "p-1", payload)
			require.NoError(b, err)
			_, err = js.Publish(ctx, "visits.p-1", ciphertext)
			require.NoError(b, err)
		}
		return time.Since(start)
	}
	ratio.Bar{Pattern: "encrypt", Metric: "seal and publish, beside plain AES-GCM", AtLeast: 0.85, Pairs: 15}.Compare(b, plain, ours)
}
