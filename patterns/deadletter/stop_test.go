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

// A worker that is told to stop, and goes on consuming for a second, does not use up
// the tries of what still comes to it.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		cons := sc.consumer("packing", 0)
		ctx, cancel := context.WithCancel(t.Context())
		guarded, err := sc.ch.Guard(ctx, cons, func(context.Context, *nats.Msg) error { return nil })
		require.NoError(t, err)
		came := 0
		run, err := cons.Consume(func(msg jetstream.Msg) {
			if came++; came <= 20 {
				guarded(msg)
			}
		})
		require.NoError(t, err)
		cancel()
		sc.send("easy")
		time.Sleep(time.Second)
		run.Stop()
		<-run.Closed()
		defer sc.work("worker", "packing", sc.handle("packing"), deadletter.Config{})()
		time.Sleep(time.Minute)
		require.Empty(t, sc.letters())
		require.Equal(t, 1, count(sc.noted(), "packing: easy"))
	})
}

// A letter holds the message as it was sent, whatever the handler did to its own.
func TestAsSent(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		defer sc.work("worker", "packing", func(_ context.Context, msg *nats.Msg) error {
			msg.Subject, msg.Data = "elsewhere", []byte("decoded")
			msg.Header.Set("Trace", "mine")
			msg.Header.Set("Step", "one")
			return deadletter.ErrPoison
		}, deadletter.Config{})()
		sc.send("poison")
		time.Sleep(time.Second)
		require.Equal(t, &nats.Msg{Subject: "orders.new", Header: nats.Header{"Trace": {"t-poison"}}, Data: []byte("poison")}, sc.first().Msg)
	})
}

// What others have stored among the letters is told, and hides none behind it.
func TestNoLetter(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		defer sc.work("worker", "packing", sc.handle("packing"), deadletter.Config{})()
		_, err := sc.js.Publish(t.Context(), "dead.orders.ORDERS.packing.x.y", nil)
		require.NoError(t, err)
		sc.send("poison")
		time.Sleep(time.Second)
		var told []string
		for l, err := range sc.ch.All(t.Context()) {
			if err != nil {
				told = append(told, err.Error())
			} else {
				told = append(told, string(l.Msg.Data))
			}
		}
		require.Len(t, told, 2)
		require.Contains(t, told[0], "delete message 1 of DEAD_orders")
		require.Equal(t, "poison", told[1])
	})
}
