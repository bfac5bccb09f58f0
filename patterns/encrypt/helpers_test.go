package encrypt_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/encrypt"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func open(t testing.TB, js jetstream.JetStream, cfg encrypt.Config) *encrypt.Vault {
	v, err := encrypt.NewVault(t.Context(), js, "keys", cfg)
	require.NoError(t, err)
	return v
}

// stored returns the messages of a stream, oldest first.
func stored(t testing.TB, js jetstream.JetStream, stream string) (msgs []*jetstream.RawStreamMsg) {
	s, err := js.Stream(t.Context(), stream)
	require.NoError(t, err)
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(t.Context(), seq)
		if err == nil {
			msgs = append(msgs, m)
			continue
		}
		require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
	}
	return msgs
}
