package deadletter_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// A stream that was deleted and made anew gives the sequences again: what they name
// now is neither taken for what was given up, nor for what is kept already.
func TestSecondLife(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		sc.keep("keeper-1")()
		stop := sc.byItself(sc.consumer("packing", 1))
		sc.send("fails") // an advisory that nobody sees to yet
		time.Sleep(5 * time.Second)
		stop()
		again := func(maxDeliver int) jetstream.Consumer {
			require.NoError(t, sc.js.DeleteStream(t.Context(), "ORDERS"))
			sc.stream(jetstream.WorkQueuePolicy)
			return sc.consumer("packing", maxDeliver)
		}
		cons := again(0)
		sc.send("healthy")
		stop = sc.keep("keeper-2")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"ORDERS 1 of packing: exhausted after 1: " + lost}, sc.letters())
		require.True(t, sc.first().Gone)
		stop()
		defer sc.byItself(cons)()
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

// A keeper whose advisories are deleted, or whose connection is closed, says so.
func TestKeeperEnds(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		for i, end := range []func(js jetstream.JetStream) error{
			func(js jetstream.JetStream) error { return js.DeleteStream(t.Context(), "ADVISORIES_ORDERS") },
			func(js jetstream.JetStream) error { js.Conn().Close(); return nil },
		} {
			js := s.JetStream(fmt.Sprint("keeper-", i))
			k, err := deadletter.NewKeeper(t.Context(), js, "orders", "ORDERS", deadletter.Config{})
			require.NoError(t, err)
			ended := make(chan error)
			go func() { ended <- k.Run(t.Context()) }()
			time.Sleep(time.Minute)
			require.NoError(t, end(js))
			err = <-ended
			require.ErrorContains(t, err, "deadletter: keeper of ORDERS: ")
			require.ErrorIs(t, k.Run(t.Context()), deadletter.ErrTwice)
			require.True(t, errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, nats.ErrConnectionClosed), "%v", err)
		}
	})
}

// A server that is stopped goes on giving messages up when it has stopped the stream
// of advisories already: of what it terminates then, no keeper knows.
func TestAdvisoryDies(t *testing.T) {
	const all = 100
	kept := all
	for i := 0; kept == all && i < 50; i++ {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			sc := newScene(t, s, jetstream.LimitsPolicy, deadletter.Config{})
			sc.keep("keeper-1")()
			for range all {
				sc.send("poison")
			}
			cons := sc.consumer("packing", 3)
			batch, err := cons.Fetch(all)
			require.NoError(t, err)
			stopped := make(chan struct{})
			go func() { defer close(stopped); s.Stop() }()
			for msg := range batch.Messages() {
				require.NoError(t, msg.TermWithReason("no such article"))
				time.Sleep(time.Millisecond)
			}
			<-stopped
			require.NoError(t, s.Start())
			time.Sleep(3 * time.Second)
			defer sc.byItself(cons)() // what was not heard comes again
			defer sc.keep("keeper-2")()
			time.Sleep(time.Minute)
			kept = len(sc.letters())
		})
	}
	require.Less(t, kept, all)
}
