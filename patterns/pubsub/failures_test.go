package pubsub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

func TestHandlerFails(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		boom := fmt.Errorf("no such order")
		l := listen(t, s.Connect("listener"), "orders.>", pubsub.Config{}, func(_ context.Context, m pubsub.Message[placed]) error {
			switch m.Body.Total {
			case 1:
				return boom
			case 2:
				panic("out of range")
			}
			return nil
		})
		nc := s.Connect("publisher")
		require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{1}))
		require.NoError(t, pubsub.Publish(nc, "orders.order-2.changed", placed{2}))
		require.NoError(t, pubsub.Publish(nc, "orders.order-3.changed", "not a placed"))
		require.NoError(t, nc.Publish("orders.order-4.changed", []byte("{not json")))
		require.NoError(t, pubsub.Publish(nc, "orders.order-5.changed", map[string]any{"total": 5, "new_field": true}))
		time.Sleep(time.Second)
		got := l.end(t)
		require.Equal(t, "orders.order-5.changed 5", got[len(got)-1], "a field that this version does not know is no fault")
		require.Len(t, l.failed, 4)
		require.ErrorIs(t, l.failed[0].Err, boom)
		require.ErrorIs(t, l.failed[1].Err, pubsub.ErrPanic)
		require.ErrorContains(t, l.failed[1].Err, "out of range")
		require.ErrorIs(t, l.failed[2].Err, pubsub.ErrPayload)
		require.ErrorIs(t, l.failed[3].Err, pubsub.ErrPayload)
		for i, f := range l.failed {
			require.Equal(t, fmt.Sprintf("orders.order-%d.changed", i+1), f.Subject)
		}
	})
}

// What had been received when Run is told to stop is handled, in order.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := listen(t, s.Connect("listener"), "orders.>", pubsub.Config{Grace: time.Minute}, func(ctx context.Context, _ pubsub.Message[placed]) error {
			time.Sleep(100 * time.Millisecond)
			return ctx.Err()
		})
		nc := s.Connect("publisher")
		for i := range 50 {
			require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{i}))
		}
		require.NoError(t, nc.Flush())
		start := time.Now()
		require.Len(t, l.end(t), 50)
		require.InDelta(t, 5, time.Since(start).Seconds(), 0.2, "the handler took 100 ms for each")
		require.Empty(t, l.failed)
	})
}

func TestStopGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := listen(t, s.Connect("listener"), "orders.>", pubsub.Config{Grace: 3 * time.Second}, func(ctx context.Context, _ pubsub.Message[placed]) error {
			<-ctx.Done()
			return ctx.Err()
		})
		nc := s.Connect("publisher")
		for i := range 5 {
			require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{i}))
		}
		time.Sleep(time.Second)
		start := time.Now()
		require.Len(t, l.end(t), 1)
		require.InDelta(t, 3, time.Since(start).Seconds(), 0.2)
		require.Len(t, l.failed, 2)
		require.ErrorIs(t, l.failed[0].Err, context.Canceled)
		require.ErrorIs(t, l.failed[1].Err, pubsub.ErrDropped)
		require.ErrorContains(t, l.failed[1].Err, "4 left")
	})
}

func TestErrors(t *testing.T) {
	s := natstest.Start(t)
	nc, ctx := s.Connect("t"), t.Context()
	for _, subject := range []string{"", "orders.", "orders.*", "orders.>", "a b", "a\x00", "orders." + strings.Repeat("x", 65), ".orders", "a..b"} {
		require.ErrorIs(t, pubsub.Publish(nc, subject, 1), pubsub.ErrID, "%.20q", subject)
	}
	for _, pattern := range []string{"", "orders.>.x", "a*", "orders..x"} {
		_, err := pubsub.NewSubscriber[int](ctx, nc, pattern, pubsub.Config{})
		require.ErrorIs(t, err, pubsub.ErrID, "%q", pattern)
	}
	require.True(t, nc.IsConnected(), "no bad subject reached the server")
	err := pubsub.Publish(nc, "orders", strings.Repeat("x", int(nc.MaxPayload())))
	require.ErrorIs(t, err, pubsub.ErrTooLarge)
	require.ErrorContains(t, err, "1048578 bytes")
	require.ErrorIs(t, pubsub.Publish(nc, "orders", func() {}), pubsub.ErrPayload)
	var unsupported *json.UnsupportedTypeError
	require.ErrorAs(t, pubsub.Publish(nc, "orders", func() {}), &unsupported)
	for field, cfg := range map[string]pubsub.Config{"Pending": {Pending: -1}, "Grace": {Grace: -1}} {
		_, err := pubsub.NewSubscriber[int](ctx, nc, "a", cfg)
		require.ErrorIs(t, err, pubsub.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	handle := func(context.Context, pubsub.Message[int]) error { return nil }
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = pubsub.NewSubscriber[int](ended, nc, "a", pubsub.Config{})
	require.ErrorIs(t, err, context.Canceled)
	sub, err := pubsub.NewSubscriber[int](ctx, nc, "a", pubsub.Config{})
	require.NoError(t, err)
	require.NoError(t, sub.Run(ended, handle))
	require.ErrorIs(t, sub.Run(ctx, handle), pubsub.ErrTwice)
	sub, err = pubsub.NewSubscriber[int](ctx, nc, "a", pubsub.Config{})
	require.NoError(t, err)
	require.ErrorIs(t, sub.Run(ctx, nil), pubsub.ErrConfig)
	require.Equal(t, 0, nc.NumSubscriptions())

	sub, err = pubsub.NewSubscriber[int](ctx, nc, "a", pubsub.Config{})
	require.NoError(t, err)
	nc.Close()
	require.ErrorIs(t, sub.Run(ctx, handle), nats.ErrConnectionClosed)
	require.ErrorIs(t, pubsub.Publish(nc, "orders", 1), nats.ErrConnectionClosed)
}

// Tokens that are fine one by one make no subject that a server would take.
func TestLongSubject(t *testing.T) {
	nc := natstest.Start(t).Connect("t")
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 63)+".", 80), ".")
	require.ErrorIs(t, pubsub.Publish(nc, long, placed{}), pubsub.ErrID)
	_, err := pubsub.NewSubscriber[placed](t.Context(), nc, long, pubsub.Config{})
	require.ErrorIs(t, err, pubsub.ErrID)
	require.NoError(t, nc.Flush())
}

// Told to stop while it is cut off, it handles what it has, and does not wait for the
// server.
func TestStopCutOff(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := listen(t, s.Connect("listener"), "orders.>", pubsub.Config{Grace: time.Minute}, func(context.Context, pubsub.Message[placed]) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		nc := s.Connect("publisher")
		for i := range 5 {
			require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{i}))
		}
		require.NoError(t, nc.Flush())
		time.Sleep(time.Millisecond)
		s.Link("listener").Down()
		time.Sleep(10 * time.Millisecond)
		start := time.Now()
		require.Len(t, l.end(t), 5)
		require.InDelta(t, 0.5, time.Since(start).Seconds(), 0.1)
	})
}

// What a token may have in it is the same for who publishes and who subscribes.
func TestTokens(t *testing.T) {
	nc := natstest.Start(t).Connect("t")
	for c := range 256 {
		subject := "orders.x" + string([]byte{byte(c)}) + strings.Repeat("y", 62)
		sub, err := pubsub.NewSubscriber[int](t.Context(), nc, subject, pubsub.Config{})
		require.Equal(t, err == nil, pubsub.Publish(nc, subject, 1) == nil, "%q", c)
		if err == nil {
			require.ErrorIs(t, sub.Run(t.Context(), nil), pubsub.ErrConfig) // lets go of it
		}
	}
}
