package schedule_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

func TestBadInput(t *testing.T) {
	s := natstest.Start(t)
	ctx, js, soon := t.Context(), s.JetStream("clerk"), time.Now().Add(time.Hour)
	c := calendar(t, s, "clerk", schedule.Config{})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, id := range []string{"", "*", ">", "a.b", "a b", "a\x00", "ä", string(make([]byte, 5000)), "a\r\nPUB x 0"} {
		_, err := schedule.New(ctx, js, id, schedule.Config{})
		require.ErrorIs(t, err, schedule.ErrID)
		require.ErrorIs(t, schedule.Provision(ctx, js, id, schedule.Config{}), schedule.ErrID)
		require.ErrorIs(t, c.At(ctx, id, soon, body("x")), schedule.ErrID)
		require.ErrorIs(t, c.Every(ctx, id, time.Hour, body("x")), schedule.ErrID)
		require.ErrorIs(t, c.Cron(ctx, id, "0 0 0 * * *", "", body("x")), schedule.ErrID)
		_, err = c.Cancel(ctx, id)
		require.ErrorIs(t, err, schedule.ErrID)
		_, err = c.Get(ctx, id)
		require.ErrorIs(t, err, schedule.ErrID)
		_, err = c.Consumer(ctx, id)
		require.ErrorIs(t, err, schedule.ErrID)
	}
	require.ErrorIs(t, c.At(ctx, "a", soon, nil), schedule.ErrMessage)
	for _, name := range []string{"Nats-TTL", "nats-msg-id", "Nats-Schedule", "Schedule-When", "schedule-by", "schedule-deadline"} { // of a received message
		require.ErrorIs(t, c.At(ctx, "a", soon, &nats.Msg{Header: nats.Header{name: {"x"}}}), schedule.ErrMessage, name)
	}
	require.ErrorIs(t, c.At(ctx, "a", soon, &nats.Msg{Data: make([]byte, js.Conn().MaxPayload())}), nats.ErrMaxPayload)
	require.ErrorIs(t, c.At(ended, "a", soon, body("x")), context.Canceled)
	_, err := c.Cancel(ended, "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.List(ended)
	require.ErrorIs(t, err, context.Canceled)
	_, err = schedule.New(ended, js, "shop", schedule.Config{})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, stored(t, s), "nothing is stored")

	nc := s.Connect("closed")
	c, err = schedule.New(ctx, natstest.JetStream(t, nc), "shop", schedule.Config{})
	require.NoError(t, err)
	nc.Close()
	require.ErrorIs(t, c.At(ctx, "a", soon, body("x")), nats.ErrConnectionClosed)
	_, err = c.Get(ctx, "a")
	require.ErrorIs(t, err, nats.ErrConnectionClosed)

	c = calendar(t, s, "clerk", schedule.Config{})
	require.NoError(t, js.DeleteStream(ctx, "SCHEDULE_shop"))
	require.ErrorIs(t, c.At(ctx, "a", soon, body("x")), jetstream.ErrStreamNotFound)
	_, err = c.List(ctx)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}

// New refuses weaker settings and accepts stronger ones; only Provision changes them.
func TestStreams(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("a")
	for field, cfg := range map[string]schedule.Config{"MaxAge": {MaxAge: 1500 * time.Millisecond}, "MaxAge is -1s": {MaxAge: -time.Second}, "MaxAge is 2562047h47m16s": {MaxAge: math.MaxInt64 / time.Second * time.Second}, "Replicas": {Replicas: -1}, "Replicas is 6": {Replicas: 6}} {
		_, err := schedule.New(ctx, js, "shop", cfg)
		require.ErrorIs(t, err, schedule.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	_, err := schedule.New(ctx, js, "shop", schedule.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	want, err := schedule.StreamConfig("shop", schedule.Config{Storage: jetstream.MemoryStorage, Metadata: map[string]string{"owner": "shop"}})
	require.NoError(t, err)
	want.MaxAge = time.Hour // removes what is scheduled for tomorrow
	_, err = js.CreateStream(ctx, want)
	require.NoError(t, err)
	_, err = schedule.New(ctx, js, "shop", schedule.Config{Storage: jetstream.MemoryStorage})
	require.ErrorIs(t, err, schedule.ErrMismatch)
	require.ErrorContains(t, err, "MaxAge 1h0m0s, want 0s")
	require.NoError(t, schedule.Provision(ctx, js, "shop", schedule.Config{Storage: jetstream.MemoryStorage}))
	want.MaxAge, want.AllowDirect, want.Duplicates = 0, true, time.Hour // stronger; a Calendar reads from the leader also with AllowDirect
	_, err = js.UpdateStream(ctx, want)
	require.NoError(t, err)
	require.NoError(t, schedule.Provision(ctx, js, "shop", schedule.Config{Storage: jetstream.MemoryStorage}))
	c, err := schedule.New(ctx, js, "shop", schedule.Config{Bind: true, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	_, err = c.Consumer(ctx, "phone")
	require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
	_, err = js.CreateConsumer(ctx, "SCHEDULE_shop", jetstream.ConsumerConfig{Durable: "phone", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	_, err = c.Consumer(ctx, "phone")
	require.ErrorIs(t, err, schedule.ErrMismatch)
	require.ErrorContains(t, err, "FilterSubject", "it would receive schedules, too")
	require.ErrorContains(t, schedule.Provision(ctx, js, "shop", schedule.Config{}), "schedule: provision shop: ")
}

// Concurrent calls for one ID all succeed, and one message is due.
func TestAllAtOnce(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		var all sync.WaitGroup
		for i := range 8 {
			c := calendar(t, s, fmt.Sprint("clerk-", i), schedule.Config{})
			all.Go(func() {
				for n := range 5 {
					assert.NoError(t, c.At(t.Context(), "a", midnight.Add(time.Duration(10+n)*time.Second), body(fmt.Sprint(i, n))))
				}
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		require.Len(t, due(t, s), 1)
	})
}

// Each due message is delivered to one instance of a service. Another service receives
// all messages again, also if it starts later.
func TestConsumer(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		var mu sync.Mutex
		ticks, by := map[string]int{}, map[string]int{}
		work := func(client, durable string) (stop func()) {
			c := calendar(t, s, client, schedule.Config{})
			require.NoError(t, c.Every(t.Context(), "tick", time.Second, body("tick")))
			cons, err := c.Consumer(t.Context(), durable)
			require.NoError(t, err)
			consuming, err := cons.Consume(func(m jetstream.Msg) {
				mu.Lock()
				defer mu.Unlock()
				ticks[durable]++
				by[client]++
				_ = m.Ack()
			})
			require.NoError(t, err)
			return func() { consuming.Stop(); <-consuming.Closed() }
		}
		stops := []func(){work("billing-1", "billing"), work("billing-2", "billing"), work("billing-3", "billing")}
		time.Sleep(60100 * time.Millisecond)
		stops = append(stops, work("audit-1", "audit"))
		time.Sleep(800 * time.Millisecond)
		for _, stop := range stops {
			stop()
		}
		require.Equal(t, map[string]int{"billing": 60, "audit": 60}, ticks)
		require.Len(t, by, 4, "each instance has received messages")
	})
}

// The largest message that can be scheduled is delivered as it is.
func TestLargest(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c := calendar(t, s, "clerk", schedule.Config{})
		big := &nats.Msg{Data: make([]byte, s.Connect("x").MaxPayload()-520)}
		require.NoError(t, c.At(t.Context(), "a", midnight.Add(time.Second), big))
		cons, err := c.Consumer(t.Context(), "phone")
		require.NoError(t, err)
		m, err := cons.Next()
		require.NoError(t, err)
		require.Len(t, m.Data(), len(big.Data))
	})
}
