package envelope_test

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func stream(t testing.TB, js jetstream.JetStream, name, subject string) jetstream.Stream {
	s, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	return s
}

func info(t testing.TB, s jetstream.Stream) *jetstream.StreamInfo {
	i, err := s.Info(context.Background())
	require.NoError(t, err)
	return i
}
