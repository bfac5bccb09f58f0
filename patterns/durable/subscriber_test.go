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

// A subscriber that was away is given what came meanwhile, in both forms, once.
func TestResume(t *testing.T) {
	for _, form := range []string{"event-driven", "polling"} {
		t.Run(form, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				shop, js := s.JetStream("shop"), s.JetStream("desk")
				var l ledger
				take := func() {
					sub := subscribe(t, js, "desk", durable.Config{})
					if form == "polling" {
						_, err := sub.Poll(t.Context(), 100, l.did)
						require.NoError(t, err)
						return
					}
					stop := start(t, sub, l.did)
					time.Sleep(time.Second)
					stop()
				}
				publish(t, shopWithTopic(t, shop), numbered(1, 3)...)
				take()
				require.Equal(t, numbered(1, 3), l.ids())
				publish(t, shop, numbered(4, 6)...)
				time.Sleep(time.Hour)
				s.Stop()
				require.NoError(t, s.Start())
				time.Sleep(time.Second)
				publish(t, shop, numbered(7, 9)...)
				take()
				require.Equal(t, numbered(1, 9), l.ids())
				take()
				require.Equal(t, numbered(1, 9), l.ids())
			})
		})
	}
}

// A failing message is tried again, ever later, and nothing overtakes it; poison is
// passed over.
func TestFailing(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("desk")
		sub := subscribe(t, js, "desk", durable.Config{})
		publish(t, js, numbered(1, 3)...)
		begin := time.Now()
		var told []string
		stop := start(t, sub, func(_ context.Context, msg durable.Message) error {
			told = append(told, fmt.Sprintf("%v %s", time.Since(begin).Round(100*time.Millisecond), msg.ID))
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
		require.Equal(t, []string{"0s order-1", "1s order-1", "3s order-1", "7s order-1", "7s order-2", "7s order-3"}, told)
		require.Equal(t, numbered(1, 3), stored(t, js), "what is passed over is still stored")
	})
}

// Poll returns what failed, and the count before it.
func TestPoll(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("desk")
		sub := subscribe(t, js, "desk", durable.Config{})
		publish(t, js, numbered(1, 5)...)
		var l ledger
		n, err := sub.Poll(t.Context(), 2, l.did)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		notNow := errors.New("not now")
		n, err = sub.Poll(t.Context(), 10, func(ctx context.Context, msg durable.Message) error {
			if msg.ID == "order-4" && msg.Delivery == 1 {
				return notNow
			}
			return l.did(ctx, msg)
		})
		require.ErrorIs(t, err, notNow)
		require.Equal(t, 1, n)
		n, err = sub.Poll(t.Context(), 10, l.did)
		require.NoError(t, err)
		require.Zero(t, n, "none is there before its backoff")
		time.Sleep(time.Second)
		n, err = sub.Poll(t.Context(), 10, l.did)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		require.Equal(t, numbered(1, 5), l.ids())

		s.Link("desk").Down()
		time.Sleep(time.Second)
		_, err = sub.Poll(t.Context(), 10, l.did)
		require.ErrorContains(t, err, "disconnected")
		s.Link("desk").Up()
	})
}

// Work longer than AckWait is the subscriber's own.
func TestSlow(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, other := s.JetStream("desk"), s.JetStream("other")
		var l ledger
		slow := func(ctx context.Context, msg durable.Message) error {
			time.Sleep(5 * time.Minute)
			return l.did(ctx, msg)
		}
		start(t, subscribe(t, js, "desk", durable.Config{Grace: time.Hour}), slow)
		time.Sleep(time.Second)
		start(t, subscribe(t, other, "desk", durable.Config{Grace: time.Hour}), slow)
		publish(t, js, numbered(1, 2)...)
		time.Sleep(time.Hour)
		require.Equal(t, numbered(1, 2), l.ids())
	})
}

// Run stopped finishes the message in hand and confirms it; after Grace, its context
// ends and the message is for the next.
func TestStop(t *testing.T) {
	for _, tc := range []struct {
		name  string
		work  time.Duration
		first []string
	}{
		{"within Grace it is finished, and not done again", 5 * time.Second, []string{"order-1"}},
		{"after Grace it is another's", time.Hour, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("desk")
				sub := subscribe(t, js, "desk", durable.Config{})
				publish(t, js, numbered(1, 2)...)
				var l, next ledger
				stop := start(t, sub, func(ctx context.Context, msg durable.Message) error {
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(tc.work):
						return l.did(ctx, msg)
					}
				})
				time.Sleep(time.Second)
				begin := time.Now()
				stop()
				require.LessOrEqual(t, time.Since(begin), 11*time.Second)
				require.ElementsMatch(t, tc.first, l.ids())
				time.Sleep(time.Second)
				_, err := subscribe(t, js, "desk", durable.Config{}).Poll(t.Context(), 10, next.did)
				require.NoError(t, err)
				require.Equal(t, numbered(1, 2), append(l.ids(), next.ids()...))
			})
		})
	}
}

// Reset moves the subscriber; Replay moves nobody.
func TestReplayAndReset(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("desk")
		sub := subscribe(t, js, "desk", durable.Config{})
		publish(t, js, numbered(1, 5)...)
		var l ledger
		stop := start(t, sub, l.did)
		time.Sleep(time.Second)
		require.Equal(t, numbered(1, 5), l.ids())

		var again ledger
		next, err := durable.Replay(t.Context(), js, "orders", 3, again.did)
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
		require.Equal(t, numbered(1, 5), l.ids(), "the subscriber has not moved")

		require.NoError(t, sub.Reset(t.Context(), 4)) // while it runs
		time.Sleep(time.Minute)
		require.Equal(t, append(numbered(1, 5), numbered(4, 5)...), l.ids())
		require.NoError(t, sub.Reset(t.Context(), 0))
		time.Sleep(time.Minute)
		stop()
		require.Equal(t, append(append(numbered(1, 5), numbered(4, 5)...), numbered(1, 5)...), l.ids())
	})
}
