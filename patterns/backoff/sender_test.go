package backoff_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

// A slow core subscriber loses messages. A Worker fetches no more than Concurrency, so
// that no message waits in its memory, and Send returns ErrFull above MaxWaiting.
func TestSlowConsumer(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		var reported atomic.Int64
		nc := s.Connect("slow", nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrSlowConsumer) {
				reported.Add(1)
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
		require.EqualValues(t, 1, reported.Load())
		require.Equal(t, 5000, handled+dropped)
		require.GreaterOrEqual(t, dropped, 4898)
	})
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Concurrency: 4, MaxWaiting: 100}
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
				require.Equal(t, 4, info.NumAckPending, "no more than Concurrency")
			}
		}
		time.Sleep(10 * time.Minute)
		require.Len(t, b.all(), 300)
		require.Positive(t, refused)
		require.Equal(t, 100, deep, "MaxWaiting, though 300 were sent")
		require.EqualValues(t, 4, most.Load())
	})
}
