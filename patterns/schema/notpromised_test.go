package schema_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// The package adds no delivery guarantee: a message without a subscriber is lost, and
// one that is published twice is read twice.
func TestNotPromised(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		publisher, reader := s.Connect("publisher"), s.Connect("reader")
		publish := func(minutes int) {
			h, data, err := one.Encode(VisitV1{"p-1", "Ann Lee", minutes})
			require.NoError(t, err)
			require.NoError(t, publisher.PublishMsg(&nats.Msg{Subject: "visits.ann", Header: h, Data: data}))
			require.NoError(t, publisher.Flush())
		}
		publish(10)
		sub := must(reader.SubscribeSync("visits.*"))
		require.NoError(t, reader.Flush())
		publish(20)
		publish(20)
		var got []int
		for range 2 {
			m := must(sub.NextMsgWithContext(t.Context()))
			got = append(got, must(one.Decode(m.Header, m.Data)).Minutes)
		}
		require.Equal(t, []int{20, 20}, got)
	})
}
