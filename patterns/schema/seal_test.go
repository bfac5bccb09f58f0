package schema_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schema"
)

// Writers who seal for a new person at once agree on one key.
func TestSealAtOnce(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sealed := make(chan []byte, 8)
		for n := range 8 {
			js := s.JetStream(fmt.Sprint("writer-", n))
			v := must(schema.NewVault(t.Context(), js, "keys", schema.Config{Storage: jetstream.MemoryStorage}))
			s.Link(fmt.Sprint("writer-", n)).Delay(50 * time.Millisecond) // so that none hears of another's key in time
			go func() { sealed <- must(v.Seal(t.Context(), "p-1", []byte("Ann"))) }()
		}
		v := must(schema.NewVault(t.Context(), s.JetStream("reader"), "keys", schema.Config{Bind: true}))
		for range 8 {
			data, err := v.Open(t.Context(), "p-1", <-sealed)
			require.NoError(t, err)
			require.Equal(t, "Ann", string(data))
		}
	})
}

// A Seal whose answer is lost, and that tries again after a Forget, does not bring the
// key back.
func TestForgottenWhileSealing(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, slow := t.Context(), s.JetStream("slow")
		v := must(schema.NewVault(ctx, slow, "keys", schema.Config{Storage: jetstream.MemoryStorage}))
		other := must(schema.NewVault(ctx, s.JetStream("other"), "keys", schema.Config{Bind: true}))
		s.Link("slow").Delay(1200 * time.Millisecond) // the key is stored after 2.4s, and the try ends after 2s
		done := make(chan error)
		go func() { _, err := v.Seal(ctx, "p-1", []byte("Ann")); done <- err }()
		time.Sleep(2500 * time.Millisecond)
		sealed := must(other.Seal(ctx, "p-1", []byte("Ann Lee")))
		require.NoError(t, other.Forget(ctx, "p-1"))
		s.Link("slow").Delay(0)
		require.NoError(t, <-done)
		_, err := other.Open(ctx, "p-1", sealed)
		require.ErrorIs(t, err, schema.ErrForgotten)
	})
}
