package durable_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// Replay reads messages again and moves no subscriber. Reset moves the subscriber.
func TestReplayAndReset(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("desk")
		sub := subscribe(t, js, "desk", durable.Config{})
		publish(t, js, numbered(1, 5)...)
		var r recorder
		stop := start(t, sub, r.handle)
		time.Sleep(time.Second)
		require.Equal(t, numbered(1, 5), r.ids())

		var again recorder
		next, err := durable.Replay(t.Context(), js, "orders", 3, again.handle)
		require.NoError(t, err)
		require.EqualValues(t, 6, next)
		require.Equal(t, numbered(3, 5), again.ids())
		next, err = durable.Replay(t.Context(), js, "orders", 0, func(_ context.Context, msg durable.Message) error {
			if msg.ID == "order-2" {
				return durable.ErrPoison
			}
			return nil
		})
		require.ErrorIs(t, err, durable.ErrPoison)
		require.EqualValues(t, 2, next)
		time.Sleep(time.Minute)
		require.Equal(t, numbered(1, 5), r.ids(), "the subscriber has not moved")

		require.NoError(t, sub.Reset(t.Context(), 4)) // while it runs
		time.Sleep(time.Minute)
		require.Equal(t, append(numbered(1, 5), numbered(4, 5)...), r.ids())
		require.NoError(t, sub.Reset(t.Context(), 0))
		time.Sleep(time.Minute)
		stop()
		require.Equal(t, append(append(numbered(1, 5), numbered(4, 5)...), numbered(1, 5)...), r.ids())
	})
}

// A Reset while a message is being handled: the server ignores the ack or nak of that
// message, and the subscriber continues where the Reset moved it.
func TestResetInFlight(t *testing.T) {
	for name, outcome := range map[string]error{"acked": nil, "failed": errors.New("not now")} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("shop")
				publish(t, provisioned(t, js), numbered(1, 5)...)
				operator := subscribe(t, s.JetStream("operator"), "desk", durable.Config{})
				var r recorder
				var once atomic.Bool
				start(t, subscribe(t, s.JetStream("desk"), "desk", durable.Config{}), func(ctx context.Context, msg durable.Message) error {
					if msg.Sequence == 5 && once.CompareAndSwap(false, true) {
						assert.NoError(t, operator.Reset(ctx, 3))
						time.Sleep(time.Second)
						return errors.Join(outcome, r.handle(ctx, msg))
					}
					return r.handle(ctx, msg)
				})
				time.Sleep(time.Minute)
				require.Equal(t, append(numbered(1, 5), numbered(3, 5)...), r.ids())
			})
		})
	}
}
