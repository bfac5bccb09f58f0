package requestreply_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// The ack of a stream that captures the subject arrives before the reply of the service.
func TestCaptured(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		_, err := s.JetStream("admin").CreateStream(t.Context(), jetstream.StreamConfig{Name: "PRICES", Subjects: []string{"prices.>"}})
		require.NoError(t, err)
		defer respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", func(_ context.Context, q quote) (price, error) {
			time.Sleep(100 * time.Millisecond) // the ack arrives first
			return prices(t.Context(), q)
		}))()
		_, err = request(t.Context(), s.Connect("requester"), "apple")
		require.ErrorIs(t, err, requestreply.ErrCaptured)
		require.ErrorContains(t, err, "PRICES")
		time.Sleep(time.Second)
	})
}

// A stream that refuses to store the request replies too.
func TestCapturedAndRefused(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		_, err := s.JetStream("admin").CreateStream(t.Context(), jetstream.StreamConfig{Name: "PRICES", Subjects: []string{"prices.>"}, MaxMsgSize: 1})
		require.NoError(t, err)
		_, err = request(t.Context(), s.Connect("requester"), "apple")
		require.ErrorIs(t, err, requestreply.ErrCaptured)
		time.Sleep(time.Second)
	})
}
