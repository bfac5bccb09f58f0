package streaming_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// An event without an ID counts twice when it is sent twice.
func TestNotPromised(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
		p := run(t, s.JetStream("processor"), list, short)
		for range 2 {
			send(t, js, "black", "twice", time.Time{})
		}
		time.Sleep(5 * time.Second) // lint:bubble: in bubble
		require.Equal(t, []string{"black 0-2: twice twice"}, outcomes(t, js))
		require.NoError(t, p.stop())
	})
}
