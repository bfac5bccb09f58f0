package pubsub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
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
		bad := fmt.Errorf("no such order")
		l := subscribe(t, s.Connect("subscriber"), "orders.>", pubsub.Config{}, func(_ context.Context, m pubsub.Message[placed]) error {
			switch m.Body.Total {
			case 1:
				return bad
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
		require.Equal(t, "orders.order-5.changed 5", got[len(got)-1], "an unknown field is not an error")
		require.Len(t, l.logged, 5)
		require.Equal(t, "pubsub: the handler panicked", l.logged[1].Message)
		require.Contains(t, attr(l.logged[1], "stack"), "limits_test.go")
		failed := slices.Delete(l.logged, 1, 2)
		for i, want := range []string{"no such order", "panic: out of range", "pubsub: bad payload", "pubsub: bad payload"} {
			require.Equal(t, "pubsub: message not handled", failed[i].Message)
			require.Equal(t, fmt.Sprintf("orders.order-%d.changed", i+1), attr(failed[i], "subject"))
			require.ErrorContains(t, attr(failed[i], "err").(error), want)
		}
	})
}

// Run handles what it had received when ctx ended, in order.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := subscribe(t, s.Connect("subscriber"), "orders.>", pubsub.Config{Grace: time.Minute}, func(ctx context.Context, _ pubsub.Message[placed]) error {
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
		require.Empty(t, l.logged)
	})
}

func TestGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := subscribe(t, s.Connect("subscriber"), "orders.>", pubsub.Config{Grace: 3 * time.Second}, func(ctx context.Context, _ pubsub.Message[placed]) error {
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
		require.Len(t, l.logged, 2)
		require.ErrorIs(t, attr(l.logged[0], "err").(error), context.Canceled)
		require.Equal(t, "pubsub: messages not handled within Grace", l.logged[1].Message)
		require.EqualValues(t, 4, attr(l.logged[1], "messages"))
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
	for field, cfg := range map[string]pubsub.Config{"Prefetch is -1": {Prefetch: -1}, "at most 65536": {Prefetch: 65_537}, "Grace": {Grace: -1}} {
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
	require.ErrorIs(t, sub.Run(ctx, handle), pubsub.ErrAlreadyRun)
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

// Good tokens can form a subject that is too long for the server.
func TestLongSubject(t *testing.T) {
	nc := natstest.Start(t).Connect("t")
	long := strings.TrimSuffix(strings.Repeat(strings.Repeat("x", 63)+".", 80), ".")
	require.ErrorIs(t, pubsub.Publish(nc, long, placed{}), pubsub.ErrID)
	_, err := pubsub.NewSubscriber[placed](t.Context(), nc, long, pubsub.Config{})
	require.ErrorIs(t, err, pubsub.ErrID)
	require.NoError(t, nc.Flush())
}

// A Run that ends while disconnected handles what it has received, and does not wait
// for the server.
func TestStopDisconnected(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := subscribe(t, s.Connect("subscriber"), "orders.>", pubsub.Config{Grace: time.Minute}, func(context.Context, pubsub.Message[placed]) error {
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		nc := s.Connect("publisher")
		for i := range 5 {
			require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{i}))
		}
		require.NoError(t, nc.Flush())
		time.Sleep(time.Millisecond)
		s.Link("subscriber").Down()
		time.Sleep(10 * time.Millisecond)
		start := time.Now()
		require.Len(t, l.end(t), 5)
		require.InDelta(t, 0.5, time.Since(start).Seconds(), 0.1)
	})
}

// Publish and NewSubscriber accept the same tokens.
func TestTokens(t *testing.T) {
	nc := natstest.Start(t).Connect("t")
	for c := range 256 {
		subject := "orders.x" + string([]byte{byte(c)}) + strings.Repeat("y", 62)
		sub, err := pubsub.NewSubscriber[int](t.Context(), nc, subject, pubsub.Config{})
		require.Equal(t, err == nil, pubsub.Publish(nc, subject, 1) == nil, "%q", c)
		if err == nil {
			require.ErrorIs(t, sub.Run(t.Context(), nil), pubsub.ErrConfig) // unsubscribes
		}
	}
}
