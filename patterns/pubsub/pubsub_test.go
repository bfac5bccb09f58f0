package pubsub_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

func TestSubscriber(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		want    []string
	}{
		{"orders.order-1.placed", []string{"orders.order-1.placed 1"}},
		{"orders.*.placed", []string{"orders.order-1.placed 1", "orders.order-2.placed 2"}},
		{"orders.>", []string{"orders.order-1.placed 1", "orders.order-2.placed 2", "orders.order-1.paid 3"}},
		{"*.order-1.*", []string{"orders.order-1.placed 1", "orders.order-1.paid 3", "invoices.order-1.sent 4"}},
		{"shipments.>", nil},
	} {
		t.Run(tc.pattern, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				l := subscribe(t, s.Connect("subscriber"), tc.pattern, pubsub.Config{}, nil)
				nc := s.Connect("publisher")
				for i, subject := range []string{"orders.order-1.placed", "orders.order-2.placed", "orders.order-1.paid", "invoices.order-1.sent"} {
					require.NoError(t, pubsub.Publish(nc, subject, placed{i + 1}))
				}
				time.Sleep(time.Second)
				require.Equal(t, tc.want, l.end(t))
				require.Empty(t, l.logged)
			})
		})
	}
}

func TestEverySubscriber(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		var all []*subscriber
		for i := range 5 {
			all = append(all, subscribe(t, s.Connect(fmt.Sprint(i)), "orders.>", pubsub.Config{}, nil))
		}
		nc := s.Connect("publisher")
		for i := range 100 {
			require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{i}))
		}
		time.Sleep(time.Second)
		for _, l := range all {
			require.Len(t, l.end(t), 100)
		}
	})
}

// The messages of one publisher keep their order across subjects.
func TestOrder(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := subscribe(t, s.Connect("subscriber"), "orders.>", pubsub.Config{}, func(context.Context, pubsub.Message[placed]) error {
			time.Sleep(time.Millisecond)
			return nil
		})
		nc := s.Connect("publisher")
		var want []string
		for i := range 500 {
			subject := fmt.Sprintf("orders.order-%d.changed", i%7)
			want = append(want, fmt.Sprintf("%s %d", subject, i))
			require.NoError(t, pubsub.Publish(nc, subject, placed{i}))
		}
		time.Sleep(time.Second)
		require.Equal(t, want, l.end(t))
	})
}

// Without a subscriber, a message is lost, and the publisher is not notified.
func TestNoSubscriber(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		nc := s.Connect("publisher")
		require.NoError(t, pubsub.Publish(nc, "orders.order-1.placed", placed{1}))
		require.NoError(t, nc.Flush())
		l := subscribe(t, s.Connect("late"), "orders.>", pubsub.Config{}, nil)
		require.NoError(t, pubsub.Publish(nc, "orders.order-2.placed", placed{2}))
		time.Sleep(time.Second)
		require.Equal(t, []string{"orders.order-2.placed 2"}, l.end(t))
	})
}

// A subscriber loses what is published while it is disconnected. What a publisher
// publishes while it is disconnected itself is sent later.
func TestDisconnected(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := subscribe(t, s.Connect("subscriber"), "orders.>", pubsub.Config{}, nil)
		nc := s.Connect("publisher")
		for i, step := range []func(){
			func() {}, s.Link("subscriber").Down, s.Link("subscriber").Up, s.Link("publisher").Down, s.Link("publisher").Up,
		} {
			step()
			time.Sleep(time.Second)
			require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{i}))
			time.Sleep(time.Second)
		}
		var want []string
		for _, i := range []int{0, 2, 3, 4} { // 1 was lost
			want = append(want, fmt.Sprintf("orders.order-1.changed %d", i))
		}
		require.Equal(t, want, l.end(t))
	})
}

func TestSlowSubscriber(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := subscribe(t, s.Connect("subscriber"), "orders.>", pubsub.Config{Prefetch: 100}, func(context.Context, pubsub.Message[placed]) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		nc := s.Connect("publisher")
		for i := range 1000 {
			require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{i}))
		}
		time.Sleep(time.Minute)
		got, lost := l.end(t), 0
		for _, r := range l.logged {
			require.Equal(t, "pubsub: messages dropped; the handler is too slow", r.Message)
			require.EqualValues(t, 100, attr(r, "prefetch"))
			lost += int(attr(r, "messages").(int64))
		}
		require.Equal(t, 1000, len(got)+lost, "each message is handled or counted")
		require.Greater(t, lost, 800)
		require.Equal(t, "orders.order-1.changed 0", got[0], "the newest are dropped, not the oldest")
	})
}
