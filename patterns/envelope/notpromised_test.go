package envelope_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

// Not promised: an envelope proves nothing and delivers nothing.
func TestNotPromised(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		tracer, mallory, shop := envelope.NewTracer(nil), s.Connect("mallory"), s.Connect("shop")
		send := func(id string) error {
			return tracer.Send(t.Context(), mallory, &nats.Msg{Subject: "paid"}, envelope.New("/bank", "order.paid", id))
		}
		require.NoError(t, send("without a subscriber"))
		require.NoError(t, mallory.Flush())
		paid := must(shop.SubscribeSync("paid"))
		require.NoError(t, shop.Flush())
		require.NoError(t, send("2"))
		require.NoError(t, send("1"))
		require.NoError(t, send("1"))
		for _, id := range []string{"2", "1", "1"} { // in the order sent, as often as sent
			m := must(paid.NextMsg(time.Second))
			e, _, err := envelope.Read(m.Header, m.Data)
			require.NoError(t, err)
			require.Equal(t, "/bank /"+id, e.Source+" /"+e.ID, "which mallory is not")
		}
	})
}
