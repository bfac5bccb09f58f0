package pubsub_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

func TestMain(m *testing.M) { natstest.Main(m) }

type placed struct {
	Total int `json:"total"`
}

// listener runs a Subscriber and keeps what it hears.
type listener struct {
	mu     sync.Mutex
	got    []string
	failed []pubsub.Failure
	stop   context.CancelFunc
	done   chan error
}

func listen(t *testing.T, nc *nats.Conn, pattern string, cfg pubsub.Config, also pubsub.Handler[placed]) *listener {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	l := &listener{stop: stop, done: make(chan error, 1)}
	cfg.Report = func(f pubsub.Failure) { l.failed = append(l.failed, f) }
	sub, err := pubsub.NewSubscriber[placed](ctx, nc, pattern, cfg)
	require.NoError(t, err)
	go func() {
		l.done <- sub.Run(ctx, func(ctx context.Context, m pubsub.Message[placed]) error {
			l.mu.Lock()
			l.got = append(l.got, fmt.Sprintf("%s %d", m.Subject, m.Body.Total))
			l.mu.Unlock()
			if also != nil {
				return also(ctx, m)
			}
			return nil
		})
	}()
	return l
}

func (l *listener) heard() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got)
}

// end stops the Subscriber and returns what it heard.
func (l *listener) end(t *testing.T) []string {
	t.Helper()
	l.stop()
	require.NoError(t, <-l.done)
	return l.got
}

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
				l := listen(t, s.Connect("listener"), tc.pattern, pubsub.Config{}, nil)
				nc := s.Connect("publisher")
				for i, subject := range []string{"orders.order-1.placed", "orders.order-2.placed", "orders.order-1.paid", "invoices.order-1.sent"} {
					require.NoError(t, pubsub.Publish(nc, subject, placed{i + 1}))
				}
				time.Sleep(time.Second)
				require.Equal(t, tc.want, l.end(t))
				require.Empty(t, l.failed)
			})
		})
	}
}

func TestEverySubscriber(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		var all []*listener
		for i := range 5 {
			all = append(all, listen(t, s.Connect(fmt.Sprint(i)), "orders.>", pubsub.Config{}, nil))
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

// One publisher's messages keep their order, through subjects of its choice.
func TestOrder(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := listen(t, s.Connect("listener"), "orders.>", pubsub.Config{}, func(context.Context, pubsub.Message[placed]) error {
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

// With nobody there, a message is gone, and nobody says so.
func TestNobodyThere(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		nc := s.Connect("publisher")
		require.NoError(t, pubsub.Publish(nc, "orders.order-1.placed", placed{1}))
		require.NoError(t, nc.Flush())
		l := listen(t, s.Connect("late"), "orders.>", pubsub.Config{}, nil)
		require.NoError(t, pubsub.Publish(nc, "orders.order-2.placed", placed{2}))
		time.Sleep(time.Second)
		require.Equal(t, []string{"orders.order-2.placed 2"}, l.end(t))
	})
}

// What is published while a subscriber is cut off is lost to it; what a publisher
// publishes while it is itself cut off is sent later.
func TestCutOff(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		l := listen(t, s.Connect("listener"), "orders.>", pubsub.Config{}, nil)
		nc := s.Connect("publisher")
		for i, step := range []func(){
			func() {}, s.Link("listener").Down, s.Link("listener").Up, s.Link("publisher").Down, s.Link("publisher").Up,
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
		l := listen(t, s.Connect("listener"), "orders.>", pubsub.Config{Pending: 100}, func(context.Context, pubsub.Message[placed]) error {
			time.Sleep(10 * time.Millisecond)
			return nil
		})
		nc := s.Connect("publisher")
		for i := range 1000 {
			require.NoError(t, pubsub.Publish(nc, "orders.order-1.changed", placed{i}))
		}
		time.Sleep(time.Minute)
		got, lost := l.end(t), 0
		for _, f := range l.failed {
			require.ErrorIs(t, f.Err, pubsub.ErrDropped)
			var n int
			_, err := fmt.Sscanf(f.Err.Error(), "pubsub: messages dropped: %d,", &n)
			require.NoError(t, err)
			lost += n
		}
		require.Equal(t, 1000, len(got)+lost, "each message is handled or told of")
		require.Greater(t, lost, 800)
		require.Equal(t, "orders.order-1.changed 0", got[0], "the newest are lost, not the oldest")
	})
}
