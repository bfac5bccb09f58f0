package deadletter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// keep runs a collector on a connection of its own, until stop.
func (s *scene) collect(name string) (stop func()) {
	s.t.Helper()
	k, err := deadletter.NewCollector(s.t.Context(), s.JetStream(name), "orders", "ORDERS", deadletter.Config{})
	require.NoError(s.t, err)
	ctx, cancel := context.WithCancel(s.t.Context())
	ended := make(chan error)
	go func() { ended <- k.Run(ctx) }()
	return func() {
		s.t.Helper()
		cancel()
		require.NoError(s.t, <-ended)
	}
}

// foreignWorker is a worker of somebody else's: it naks what fails until the consumer's
// MaxDeliver, and terminates poison.
func (s *scene) foreignWorker(cons jetstream.Consumer) (stop func()) {
	s.t.Helper()
	run, err := cons.Consume(func(msg jetstream.Msg) {
		var err error
		switch what := string(msg.Data()); what {
		case "fails":
			err = msg.NakWithDelay(time.Second)
		case "poison":
			err = msg.TermWithReason("no such article")
		default:
			s.note("handles %s", what)
			err = msg.Ack()
		}
		if err != nil {
			s.note("%v", err)
		}
	})
	require.NoError(s.t, err)
	return func() {
		run.Stop()
		<-run.Closed()
	}
}

// advisorySubscriber is the mutant: it subscribes to the advisories and reads the messages.
func (s *scene) advisorySubscriber(nc *nats.Conn, got func(data []byte)) (stop func()) {
	var subs []*nats.Subscription
	for _, what := range []string{"MAX_DELIVERIES", "MSG_TERMINATED"} {
		sub, err := nc.Subscribe("$JS.EVENT.ADVISORY.CONSUMER."+what+".ORDERS.*", func(m *nats.Msg) {
			var a struct {
				Seq uint64 `json:"stream_seq"`
			}
			if json.Unmarshal(m.Data, &a) != nil {
				return
			}
			orders, err := s.js.Stream(context.Background(), "ORDERS")
			if err != nil {
				return
			}
			if raw, err := orders.GetMsg(context.Background(), a.Seq); err == nil {
				got(raw.Data)
			}
		})
		if err == nil {
			subs = append(subs, sub)
		}
	}
	return func() {
		for _, sub := range subs {
			_ = sub.Unsubscribe()
		}
	}
}

const maxDeliverReached = "unknown: the consumer's MaxDeliver is reached"

// A collector that is down while ten messages become dead has them all when it is up
// again, with their bodies but where a Term removed them. One that merely
// subscribes to the advisories has lost the ten.
func TestCollector(t *testing.T) {
	for _, how := range retentions {
		t.Run(how.String(), func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s, how, deadletter.Config{})
				sc.collect("collector-1")() // down, once what it needs is there
				var received atomic.Int64
				sc.advisorySubscriber(s.Connect("subscriber"), func([]byte) { received.Add(1) })()
				defer sc.foreignWorker(sc.consumer("packing", 3))()
				var want []string
				for i := range 5 {
					sc.send("fails", "poison")
					want = append(want, fmt.Sprintf("ORDERS %d of packing: terminated after 1: no such article", 2*i+2))
					want = append(want, fmt.Sprintf("ORDERS %d of packing: exhausted after 3: %s", 2*i+1, maxDeliverReached))
				}
				time.Sleep(time.Minute)
				require.Empty(t, sc.letters())
				s.Stop()
				require.NoError(t, s.Start())
				time.Sleep(3 * time.Second)
				defer sc.advisorySubscriber(s.Connect("subscriber-2"), func([]byte) { received.Add(1) })()
				defer sc.collect("collector-2")()
				time.Sleep(time.Minute)
				require.ElementsMatch(t, want, sc.letters())
				require.Zero(t, received.Load(), "10 of 10 are lost")

				gone := 0
				for l, err := range sc.ch.All(t.Context()) {
					require.NoError(t, err)
					err := sc.ch.Requeue(t.Context(), l.ID, nil)
					if l.Gone {
						gone++
						require.ErrorIs(t, err, deadletter.ErrGone)
						require.NoError(t, sc.ch.Requeue(t.Context(), l.ID, func(msg *nats.Msg) error {
							msg.Subject, msg.Data = "orders.new", []byte("restored")
							return nil
						}))
						continue
					}
					require.NoError(t, err)
					require.Equal(t, map[deadletter.Reason]string{deadletter.Exhausted: "fails", deadletter.Terminated: "poison"}[l.Reason], string(l.Msg.Data))
				}
				require.Equal(t, map[jetstream.RetentionPolicy]int{jetstream.LimitsPolicy: 0, jetstream.InterestPolicy: 5, jetstream.WorkQueuePolicy: 5}[how], gone)
				time.Sleep(time.Minute)
				require.Equal(t, gone, count(sc.noted(), "handles restored"))
				require.Len(t, sc.letters(), 10-gone, "requeued without a fix, they are dead letters again")
			})
		})
	}
}

// Without a collector, a work queue holds what is past its MaxDeliver for ever. One that
// has no advisory finds it there, and nothing else.
func TestScan(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		cons := sc.consumer("packing", 3)
		stop := sc.foreignWorker(cons)
		defer func() { stop() }()
		for range 5 {
			sc.send("fails", "easy")
		}
		time.Sleep(time.Minute)
		stop()
		s.Stop()
		require.NoError(t, s.Start())
		time.Sleep(3 * time.Second)
		sc.send("slow")
		batch, err := cons.Fetch(10, jetstream.FetchMaxWait(time.Second))
		require.NoError(t, err)
		slow := <-batch.Messages()
		require.Equal(t, "slow", string(slow.Data()))
		for range batch.Messages() {
			require.Fail(t, "what is past MaxDeliver is not delivered any more")
		}
		orders, err := sc.js.Stream(t.Context(), "ORDERS")
		require.NoError(t, err)
		require.EqualValues(t, 6, orders.CachedInfo().State.Msgs, "5 of 5 are stuck, and one is in flight")

		defer sc.collect("collector")()
		for range 30 { // while one is in flight, the scan waits
			time.Sleep(time.Second)
			require.NoError(t, slow.InProgress())
		}
		require.Empty(t, sc.letters())
		require.NoError(t, slow.Ack())
		sc.send("waiting")
		time.Sleep(time.Minute)
		require.Len(t, sc.letters(), 5)
		require.Contains(t, sc.letters()[0], "ORDERS 1 of packing: exhausted after 3: unknown: found in the queue")
		info, err := orders.Info(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 1, info.State.Msgs, "what waits to be delivered stays")
		stop = sc.foreignWorker(cons)
		sc.requeueAll("fixed")
		time.Sleep(time.Minute)
		require.Equal(t, 5, count(sc.noted(), "handles fixed"))
	})
}
