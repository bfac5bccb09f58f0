package deadletter_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// A letter holds the message as it is stored, also if the handler has changed its
// payload, its headers or both. If the stream has removed it, it holds what was left.
func TestOriginal(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(sc *scene, msg deadletter.Message)
		want   string
	}{
		{"nothing changed", func(*scene, deadletter.Message) {}, "poison"},
		{"payload changed", func(_ *scene, msg deadletter.Message) { copy(msg.Data, "XXX") }, "poison"},
		{"headers changed", func(_ *scene, msg deadletter.Message) {
			msg.Header.Set("Trace", "mine")
			msg.Header.Set("Step", "one")
		}, "poison"},
		{"header removed", func(_ *scene, msg deadletter.Message) { msg.Header.Del("Trace") }, "poison"},
		{"payload changed and message removed", func(sc *scene, msg deadletter.Message) {
			copy(msg.Data, "XXX")
			orders, err := sc.js.Stream(sc.t.Context(), "ORDERS")
			require.NoError(sc.t, err)
			require.NoError(sc.t, orders.DeleteMsg(sc.t.Context(), msg.Sequence))
		}, "XXXson"},
	} {
		t.Run(c.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
				defer sc.work("worker", "packing", func(_ context.Context, msg deadletter.Message) error {
					c.change(sc, msg)
					return deadletter.ErrPoison
				}, deadletter.Config{})()
				sc.send("poison")
				time.Sleep(time.Second)
				require.Equal(t, &nats.Msg{Subject: "orders.new", Header: nats.Header{"Trace": {"t-poison"}}, Data: []byte(c.want)}, sc.first().Msg)
			})
		})
	}
}

// A handler that runs longer than AckWait keeps its message.
func TestLongHandler(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		defer sc.work("worker", "packing", func(_ context.Context, msg deadletter.Message) error {
			sc.note("delivery %d", msg.Delivery)
			time.Sleep(time.Minute) // AckWait is 2 s
			return nil
		}, deadletter.Config{})()
		sc.send("slow")
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"0s delivery 1"}, sc.noted())
		require.Empty(t, sc.letters())
	})
}

// A foreign message in the stream of letters is an error, and hides no letter behind it.
func TestForeignMessage(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		defer sc.work("worker", "packing", sc.handle("packing"), deadletter.Config{})()
		_, err := sc.js.Publish(t.Context(), "dead.orders.ORDERS.packing.x.y", nil)
		require.NoError(t, err)
		sc.send("poison")
		time.Sleep(time.Second)
		var got []string
		for l, err := range sc.ch.All(t.Context()) {
			if err != nil {
				got = append(got, err.Error())
			} else {
				got = append(got, string(l.Msg.Data))
			}
		}
		require.Len(t, got, 2)
		require.Contains(t, got[0], "delete message 1 of DEAD_orders")
		require.Equal(t, "poison", got[1])
	})
}
