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

// Poison becomes a dead letter, is looked at, fixed and requeued, and is handled:
// whatever the stream does with messages otherwise.
func TestPoisonFixedRequeued(t *testing.T) {
	for _, how := range retentions {
		t.Run(how.String(), func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s, how, deadletter.Config{})
				defer sc.work("worker", "packing", sc.handle("packing"), deadletter.Config{})()
				sc.send("easy", "poison")
				time.Sleep(time.Minute)
				require.Equal(t, []string{"0s packing: easy", "0s packing: poison"}, sc.noted())
				require.Equal(t, []string{"ORDERS 2 of packing: poison after 1: deadletter: poison message: no such article"}, sc.letters())

				l, err := sc.ch.Get(t.Context(), sc.first().ID)
				require.NoError(t, err)
				require.Equal(t, &nats.Msg{Subject: "orders.new", Header: nats.Header{"Trace": {"t-poison"}}, Data: []byte("poison")}, l.Msg)
				require.Equal(t, sc.start, l.Time.Local())

				require.NoError(t, sc.ch.Requeue(t.Context(), l.ID, fixed("fixed")))
				time.Sleep(time.Minute)
				require.Equal(t, []string{"1m0s packing: fixed"}, sc.noted())
				require.Empty(t, sc.letters())
				info, err := sc.consumer("packing", 0).Info(t.Context())
				require.NoError(t, err)
				require.Zero(t, info.NumAckPending+int(info.NumPending), "nothing is left with the consumer")
				require.ErrorIs(t, sc.ch.Requeue(t.Context(), l.ID, nil), deadletter.ErrResolved)
			})
		})
	}
}

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		name, body string
		cfg        deadletter.Config
		want       []string
		letter     string
	}{
		{"what succeeds is no letter", "easy", deadletter.Config{}, []string{"0s packing: easy"}, ""},
		{"what fails is tried at doubled intervals and then a letter", "fails", deadletter.Config{MaxDeliver: 4},
			[]string{"0s packing: fails", "1s packing: fails", "3s packing: fails", "7s packing: fails"}, "exhausted after 4: no stock"},
		{"what panics has failed", "panics", deadletter.Config{MaxDeliver: 1}, []string{"0s packing: panics"}, "exhausted after 1: panic: a nil map"},
		{"poison is tried once", "poison", deadletter.Config{}, []string{"0s packing: poison"}, "poison after 1: deadletter: poison message: no such article"},
	} {
		t.Run(c.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
				defer sc.work("worker", "packing", sc.handle("packing"), c.cfg)()
				sc.send(c.body)
				time.Sleep(time.Minute)
				require.Equal(t, c.want, sc.noted())
				want := []string{}
				if c.letter != "" {
					want = []string{"ORDERS 1 of packing: " + c.letter}
				}
				require.Equal(t, want, sc.letters())
				orders, err := sc.js.Stream(t.Context(), "ORDERS")
				require.NoError(t, err)
				require.Zero(t, orders.CachedInfo().State.Msgs, "it has left the queue")
			})
		})
	}
}

// A message whose workers all crash is a dead letter too: the next worker finds that it
// was delivered MaxDeliver times.
func TestWorkersCrashed(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		sc.send("deadly")
		for _, name := range []string{"a", "b", "c"} {
			stop := sc.work(name, "packing", func(_ context.Context, msg deadletter.Message) error {
				sc.note("%s takes it", name)
				s.Link(name).Down()
				return nil // the ack is lost
			}, deadletter.Config{MaxDeliver: 3})
			time.Sleep(5 * time.Second)
			stop()
		}
		defer sc.work("d", "packing", sc.handle("d"), deadletter.Config{MaxDeliver: 3})()
		time.Sleep(time.Minute)
		require.Equal(t, []string{"0s a takes it", "5s b takes it", "10s c takes it"}, sc.noted())
		l := sc.first()
		require.Equal(t, deadletter.Exhausted, l.Reason)
		require.Equal(t, 3, l.Deliveries)
		require.Contains(t, l.Error, "the worker crashed")
	})
}

// While letters cannot be stored, dead messages stay in their stream; poison is
// tried meanwhile, what is exhausted is not.
func TestChannelDown(t *testing.T) {
	for _, how := range retentions {
		t.Run(how.String(), func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				cfg := deadletter.Config{MaxDeliver: 2}
				sc := newScene(t, s, how, cfg)
				defer sc.work("worker", "packing", sc.handle("packing"), cfg)()
				require.NoError(t, sc.js.DeleteStream(t.Context(), "DEAD_orders"))
				sc.send("poison", "fails", "easy")
				time.Sleep(2 * time.Minute)
				_, err := deadletter.NewChannel(t.Context(), sc.js, "orders", cfg)
				require.NoError(t, err)
				time.Sleep(2 * time.Minute)
				got := sc.letters()
				require.Len(t, got, 2)
				require.Contains(t, got[0]+got[1], "ORDERS 1 of packing")
				require.Contains(t, got[0]+got[1], "ORDERS 2 of packing: exhausted after 2: unknown")
				require.Equal(t, 1, count(sc.noted(), "packing: easy"))
			})
		})
	}
}

// Each consumer of a stream has its own letters. A letter is requeued for its consumer,
// and passed over by the others; one that is not guarded gets it again.
func TestOtherConsumers(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.InterestPolicy, deadletter.Config{})
		sc.consumer("billing", 0)
		plain := sc.consumer("plain", 0)
		defer sc.work("a", "packing", sc.handle("packing"), deadletter.Config{})()
		defer sc.work("b", "billing", func(context.Context, deadletter.Message) error { sc.note("billing"); return nil }, deadletter.Config{})()
		sc.send("poison")
		time.Sleep(time.Second)
		require.Equal(t, 1, count(sc.noted(), "billing"))
		sc.requeueAll("fixed")
		time.Sleep(time.Second)
		require.Equal(t, []string{"1s packing: fixed"}, sc.noted())
		batch, err := plain.FetchNoWait(10)
		require.NoError(t, err)
		var bodies []string
		for msg := range batch.Messages() {
			bodies = append(bodies, string(msg.Data()))
		}
		require.Equal(t, []string{"poison", "fixed"}, bodies, "not promised")

		sc.send("poison")
		time.Sleep(time.Second)
		sc.noted()
		require.NoError(t, sc.js.DeleteConsumer(t.Context(), "ORDERS", "packing"))
		sc.requeueAll("fixed")
		time.Sleep(time.Second)
		require.Equal(t, []string{"3s billing"}, sc.noted(), "its consumer is deleted: the others handle it")

		defer sc.work("c", "plain", sc.handle("plain"), deadletter.Config{})()
		sc.send("poison")
		time.Sleep(time.Second)
		require.NotEmpty(t, sc.letters())
		for _, name := range []string{"billing", "plain"} {
			require.NoError(t, sc.js.DeleteConsumer(t.Context(), "ORDERS", name))
		}
		sc.requeueAll("fixed")
		require.Empty(t, sc.letters())
		orders, err := sc.js.Stream(t.Context(), "ORDERS")
		require.NoError(t, err)
		require.Zero(t, orders.CachedInfo().State.Msgs, "not promised: an interest stream without consumers stores nothing")
	})
}

func count(notes []string, what string) (n int) {
	for _, note := range notes {
		if len(note) >= len(what) && note[len(note)-len(what):] == what {
			n++
		}
	}
	return n
}
