package backoff_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

// With BackOff set and MaxDeliver 5, a bare nak burns all five deliveries in less than a
// millisecond, on the real clock; BackOff is for silence only. A delay spreads them.
func TestBareNak(t *testing.T) {
	five := func(t *testing.T, js jetstream.JetStream, backOff []time.Duration, end func(jetstream.Msg) error) (tries []time.Time) {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PLAIN", Subjects: []string{"plain"}, Storage: jetstream.MemoryStorage})
		require.NoError(t, err)
		cons, err := js.CreateConsumer(t.Context(), "PLAIN", jetstream.ConsumerConfig{
			Durable: "plain", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: 5, BackOff: backOff})
		require.NoError(t, err)
		_, err = js.Publish(t.Context(), "plain", nil)
		require.NoError(t, err)
		fifth := make(chan struct{})
		c, err := cons.Consume(func(msg jetstream.Msg) {
			tries = append(tries, time.Now())
			_ = end(msg)
			if len(tries) == 5 {
				close(fifth)
			}
		})
		require.NoError(t, err)
		<-fifth
		c.Stop()
		<-c.Closed()
		return tries
	}
	backOff := []time.Duration{time.Minute, time.Hour}
	t.Run("a bare nak burns five in no time", func(t *testing.T) {
		best := time.Hour
		for range 10 { // the machine may be busy
			s := natstest.Start(t)
			tries := five(t, s.JetStream("plain"), backOff, jetstream.Msg.Nak)
			if best = min(best, tries[4].Sub(tries[0])); best < time.Millisecond {
				break
			}
		}
		t.Logf("five deliveries in %v", best)
		require.Less(t, best, time.Millisecond)
	})
	for name, tc := range map[string]struct {
		backOff []time.Duration
		took    time.Duration
	}{
		"a nak with the delay of a Policy takes its time":      {nil, 15 * time.Second},
		"with BackOff set it takes what BackOff adds, as well": {backOff, 15*time.Second + 3*(time.Hour-time.Minute)},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				n := 0
				tries := five(t, s.JetStream("plain"), tc.backOff, func(msg jetstream.Msg) error { n++; return msg.NakWithDelay(steady.Delay(n)) })
				require.Equal(t, tc.took, tries[4].Sub(tries[0]).Round(10*time.Millisecond))
			})
		})
	}
}

// A core subscriber that is too slow loses, and is told; a Worker asks for no more than
// it has hands, so that nothing waits in its memory, and its Sender is told.
func TestSlowConsumer(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		var told atomic.Int64
		nc := s.Connect("slow", nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				told.Add(1)
			}
		}))
		handled := 0
		sub, err := nc.Subscribe("plain", func(*nats.Msg) { handled++; time.Sleep(time.Second) })
		require.NoError(t, err)
		require.NoError(t, sub.SetPendingLimits(100, -1))
		require.NoError(t, nc.Flush())
		fast := s.Connect("fast")
		for range 5000 {
			require.NoError(t, fast.Publish("plain", nil))
		}
		require.NoError(t, fast.Flush())
		time.Sleep(time.Hour)
		dropped, err := sub.Dropped()
		require.NoError(t, err)
		require.NoError(t, sub.Unsubscribe())
		require.EqualValues(t, 1, told.Load())
		require.Equal(t, 5000, handled+dropped)
		require.GreaterOrEqual(t, dropped, 4898)
	})
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Hands: 4, MaxWaiting: 100}
		var in, most atomic.Int64
		b := newBank(time.Second, nil)
		start(t, js, cfg, func(ctx context.Context, msg backoff.Message) error {
			most.Store(max(most.Load(), in.Add(1)))
			defer in.Add(-1)
			return b.book(ctx, msg)
		})
		sender, err := backoff.NewSender(t.Context(), s.JetStream("shop"), "bank", cfg)
		require.NoError(t, err)
		cons, err := js.Consumer(t.Context(), "BACKOFF_bank", "workers")
		require.NoError(t, err)
		refused, deep := 0, 0
		for _, id := range numbered(1, 300) {
			for {
				err := sender.Send(t.Context(), id, &nats.Msg{})
				if err == nil {
					break
				}
				require.ErrorIs(t, err, backoff.ErrFull)
				refused++
				time.Sleep(time.Second)
			}
			_, waiting := stream(t, js)
			deep = max(deep, waiting)
			if id == "pay-50" {
				time.Sleep(500 * time.Millisecond)
				info, err := cons.Info(t.Context())
				require.NoError(t, err)
				require.Equal(t, 4, info.NumAckPending, "no more in the worker than it has hands")
			}
		}
		time.Sleep(10 * time.Minute)
		require.Len(t, b.all(), 300)
		require.Positive(t, refused)
		require.Equal(t, 100, deep, "no deeper, though 300 were sent")
		require.EqualValues(t, 4, most.Load())
	})
}
