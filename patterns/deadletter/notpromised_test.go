package deadletter_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// An advisory is published without an acknowledgement. Not promised: a server that stops
// stores the advisories of all messages that are terminated at that moment.
func TestAdvisoryLost(t *testing.T) {
	const all = 100
	stored, stops := all, 0
	for ; stored == all && stops < 500; stops++ {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			sc := newScene(t, s, jetstream.LimitsPolicy, deadletter.Config{})
			sc.collect("collector-1")()
			for range all {
				sc.send("poison")
			}
			cons := sc.consumer("packing", 3)
			batch, err := cons.Fetch(all)
			require.NoError(t, err)
			stopped := make(chan struct{})
			n := 0
			for msg := range batch.Messages() {
				require.NoError(t, msg.TermWithReason("no such article"))
				if n++; n == 10+stops%80 {
					go func() { defer close(stopped); s.Stop() }()
				}
			}
			<-stopped
			require.NoError(t, s.Start())
			time.Sleep(3 * time.Second)
			defer sc.foreignWorker(cons)() // a message whose term was lost is redelivered
			defer sc.collect("collector-2")()
			time.Sleep(time.Minute)
			stored = len(sc.letters())
		})
	}
	t.Logf("stop %d: %d of %d advisories are lost", stops, all-stored, all)
	require.Less(t, stored, all)
}

// Order is not promised: the next message overtakes one that is retried or requeued.
func TestOrder(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{MaxDeliver: 2})
		defer sc.work("worker", "packing", sc.handle("packing"), deadletter.Config{MaxDeliver: 2})()
		sc.send("fails", "easy")
		time.Sleep(10 * time.Second)
		sc.requeueAll("fixed")
		time.Sleep(time.Second)
		require.Equal(t, []string{"0s packing: fails", "0s packing: easy", "1s packing: fails", "10s packing: fixed"}, sc.noted())
	})
}
