package requestreply_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// The mutant: a requester with one inbox for all its requests takes the late reply to
// the first request for the reply to the second one.
func TestLateReplyNaive(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		defer respond(t, s.Connect("responder"), requestreply.Config{}, requestreply.Handle("prices.quote", prices))()
		nc := s.Connect("requester")
		inbox, err := nc.SubscribeSync("naive")
		require.NoError(t, err)
		require.NoError(t, nc.PublishRequest("prices.quote", "naive", []byte(`{"sku":"slow-1"}`)))
		_, err = inbox.NextMsg(900 * time.Millisecond)
		require.ErrorIs(t, err, nats.ErrTimeout)
		require.NoError(t, nc.PublishRequest("prices.quote", "naive", []byte(`{"sku":"slow-22222"}`)))
		msg, err := inbox.NextMsg(time.Second)
		require.NoError(t, err)
		require.JSONEq(t, `{"cents":6}`, string(msg.Data), "the price of slow-1")
		time.Sleep(time.Second)
	})
}
