package deadletter_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// A recreated stream assigns the sequences again. A new message is neither taken for
// the dead one with its sequence, nor for a letter that is stored already.
func TestRecreatedStream(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		sc.collect("collector-1")()
		stop := sc.foreignWorker(sc.consumer("packing", 1))
		sc.send("fails") // its advisory is not read yet
		time.Sleep(5 * time.Second)
		stop()
		again := func(maxDeliver int) jetstream.Consumer {
			require.NoError(t, sc.js.DeleteStream(t.Context(), "ORDERS"))
			sc.stream(jetstream.WorkQueuePolicy)
			return sc.consumer("packing", maxDeliver)
		}
		cons := again(0)
		sc.send("healthy")
		stop = sc.collect("collector-2")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"ORDERS 1 of packing: exhausted after 1: " + maxDeliverReached}, sc.letters())
		require.True(t, sc.first().Gone)
		stop()
		defer sc.foreignWorker(cons)()
		time.Sleep(time.Minute)
		require.Equal(t, 1, count(sc.noted(), "handles healthy"))

		for range 2 {
			again(0)
			stop := sc.work(fmt.Sprint("worker-", time.Now().UnixNano()), "packing", sc.handle("packing"), deadletter.Config{})
			sc.send("poison")
			time.Sleep(time.Minute)
			stop()
		}
		require.Len(t, sc.letters(), 3)
	})
}
