package durable_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// A subscriber that did not run receives what was stored meanwhile, in both forms, once.
func TestResume(t *testing.T) {
	for _, form := range []string{"Run", "Poll"} {
		t.Run(form, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				shop, js := s.JetStream("shop"), s.JetStream("desk")
				var r recorder
				consume := func() {
					sub := subscribe(t, js, "desk", durable.Config{})
					if form == "Poll" {
						_, err := sub.Poll(t.Context(), 100, r.handle)
						require.NoError(t, err)
						return
					}
					stop := start(t, sub, r.handle)
					time.Sleep(time.Second)
					stop()
				}
				publish(t, provisioned(t, shop), numbered(1, 3)...)
				consume()
				require.Equal(t, numbered(1, 3), r.ids())
				publish(t, shop, numbered(4, 6)...)
				time.Sleep(time.Hour)
				s.Stop()
				require.NoError(t, s.Start())
				time.Sleep(time.Second)
				publish(t, shop, numbered(7, 9)...)
				consume()
				require.Equal(t, numbered(1, 9), r.ids())
				consume()
				require.Equal(t, numbered(1, 9), r.ids())
			})
		})
	}
}

// A failing message is retried with a growing delay, and no message overtakes it. A poison
// message is terminated and stays stored.
func TestFailing(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("desk")
		sub := subscribe(t, js, "desk", durable.Config{})
		publish(t, js, numbered(1, 3)...)
		begin := time.Now()
		var calls []string
		stop := start(t, sub, func(_ context.Context, msg durable.Message) error {
			calls = append(calls, fmt.Sprintf("%v %s", time.Since(begin).Round(100*time.Millisecond), msg.ID))
			switch {
			case msg.ID == "order-1" && msg.Delivery < 4:
				return errors.New("not now")
			case msg.ID == "order-2":
				return fmt.Errorf("%w: no address", durable.ErrPoison)
			}
			return nil
		})
		time.Sleep(time.Hour)
		stop()
		require.Equal(t, []string{"0s order-1", "1s order-1", "3s order-1", "7s order-1", "7s order-2", "7s order-3"}, calls)
		require.Equal(t, numbered(1, 3), stored(t, js), "a terminated message stays stored")
	})
}

// Poll returns the error of a handler, and the number of messages before it.
func TestPoll(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("desk")
		sub := subscribe(t, js, "desk", durable.Config{})
		publish(t, js, numbered(1, 5)...)
		var r recorder
		n, err := sub.Poll(t.Context(), 2, r.handle)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		notNow := errors.New("not now")
		n, err = sub.Poll(t.Context(), 10, func(ctx context.Context, msg durable.Message) error {
			if msg.ID == "order-4" && msg.Delivery == 1 {
				return notNow
			}
			return r.handle(ctx, msg)
		})
		require.ErrorIs(t, err, notNow)
		require.Equal(t, 1, n)
		n, err = sub.Poll(t.Context(), 10, r.handle)
		require.NoError(t, err)
		require.Zero(t, n, "the failed message is in backoff")
		time.Sleep(time.Second)
		n, err = sub.Poll(t.Context(), 10, r.handle)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, numbered(1, 5), r.ids())

		s.Link("desk").Down()
		time.Sleep(time.Second)
		_, err = sub.Poll(t.Context(), 10, r.handle)
		require.ErrorContains(t, err, "disconnected")
		s.Link("desk").Up()
	})
}

// A message whose handler runs longer than AckWait is not redelivered, also if a second
// process with the name waits.
func TestSlow(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, other := s.JetStream("desk"), s.JetStream("other")
		var r recorder
		slow := func(ctx context.Context, msg durable.Message) error {
			time.Sleep(5 * time.Minute)
			return r.handle(ctx, msg)
		}
		start(t, subscribe(t, js, "desk", durable.Config{Grace: time.Hour}), slow)
		time.Sleep(time.Second)
		start(t, subscribe(t, other, "desk", durable.Config{Grace: time.Hour}), slow)
		publish(t, js, numbered(1, 2)...)
		time.Sleep(time.Hour)
		require.Equal(t, numbered(1, 2), r.ids())
	})
}

// A panic of a handler is an error, in Run, Poll and Replay.
func TestPanic(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("desk")
		sub := subscribe(t, js, "desk", durable.Config{})
		publish(t, js, numbered(1, 2)...)
		var r recorder
		panics := func(ctx context.Context, msg durable.Message) error {
			if msg.ID == "order-1" && msg.Delivery < 3 {
				panic("not now")
			}
			return r.handle(ctx, msg)
		}
		_, err := sub.Poll(t.Context(), 10, panics)
		require.ErrorContains(t, err, "panic: not now")
		next, err := durable.Replay(t.Context(), js, "orders", 0, panics)
		require.ErrorContains(t, err, "panic: not now")
		require.EqualValues(t, 1, next)
		start(t, sub, panics)
		time.Sleep(time.Minute)
		require.Equal(t, numbered(1, 2), r.ids())
	})
}
