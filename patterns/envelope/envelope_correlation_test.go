package envelope_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

// A hundred replies arrive on one subject, in any order, and each is matched to its
// request by its causation. The mutant matches by the question, and loses all but one
// of the same questions.
func TestCorrelation(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		tracer, kitchen, waiter := envelope.NewTracer(nil), s.Connect("kitchen"), s.Connect("waiter")
		ordered, err := kitchen.SubscribeSync("kitchen")
		require.NoError(t, err)
		served, err := waiter.SubscribeSync("served")
		require.NoError(t, err)
		require.NoError(t, kitchen.Flush())
		require.NoError(t, waiter.Flush())

		byID, byDish := map[string]int{}, map[string]int{}
		for table := range 100 {
			dish, e := fmt.Sprintf("dish %d", table%10), envelope.New("/waiter", "dish.ordered", fmt.Sprintf("order-%d", table))
			byID[e.ID], byDish[dish] = table, table
			require.NoError(t, tracer.Send(t.Context(), waiter, &nats.Msg{Subject: "kitchen", Data: []byte(dish)}, e))
		}
		var kept []*nats.Msg
		for range 100 {
			kept = append(kept, must(ordered.NextMsg(time.Second)))
		}
		for i := range kept {
			m := kept[len(kept)-1-i] // what comes last is done first
			e, dish, err := envelope.Read(m.Header, m.Data)
			require.NoError(t, err)
			require.NoError(t, tracer.Send(t.Context(), kitchen, &nats.Msg{Subject: "served", Data: dish}, e.Next("/kitchen", "dish.served", e.ID+".served")))
		}
		right, mutant := 0, 0
		for i := range 100 {
			m := must(served.NextMsg(time.Second))
			e, dish, err := envelope.Read(m.Header, m.Data)
			require.NoError(t, err)
			if byID[e.Causation] == 99-i {
				right++
			}
			if byDish[string(dish)] == 99-i {
				mutant++
			}
		}
		require.Equal(t, 100, right)
		require.Equal(t, 10, mutant, "of 100")
	})
}
