package durable_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// An outage is longer than the duplicate window. A message that was stored before it is not
// published again after it.
func TestBeyondWindow(t *testing.T) {
	for name, send := range map[string]func(t *testing.T, js jetstream.JetStream, p *durable.Publisher) error{
		"Publish": func(t *testing.T, js jetstream.JetStream, _ *durable.Publisher) error {
			_, err := durable.Publish(t.Context(), js, "orders", "order-1", none)
			return err
		},
		"a Publisher": func(t *testing.T, _ jetstream.JetStream, p *durable.Publisher) error {
			require.NoError(t, p.Send(t.Context(), "order-1", none))
			return p.Flush(t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, link := s.JetStream("shop"), s.Link("shop")
				p, err := durable.NewPublisher(t.Context(), js, "orders", durable.Config{})
				require.NoError(t, err)
				publish(t, s.JetStream("before"), "order-1")
				link.Down()
				time.Sleep(time.Second)
				time.AfterFunc(5*time.Minute, link.Up)
				require.ErrorIs(t, send(t, js, p), durable.ErrUnconfirmed)
				time.Sleep(6 * time.Minute)
				require.Len(t, stored(t, js), 1)
				require.NoError(t, p.Close(t.Context()))
			})
		})
	}
}

// A process is disconnected for longer than AckWait while it handles a message. Another
// process with its name handles the message, too, and the next one before the first ends.
func TestDisconnectedBeyondAckWait(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		publish(t, provisioned(t, js), numbered(1, 2)...)
		var r recorder
		var once atomic.Bool
		start(t, subscribe(t, s.JetStream("one"), "desk", durable.Config{}), func(ctx context.Context, msg durable.Message) error {
			if once.CompareAndSwap(false, true) {
				s.Link("one").Down()
				time.AfterFunc(5*time.Minute, s.Link("one").Up)
				time.Sleep(2 * time.Minute)
			}
			return r.handle(ctx, msg)
		})
		time.Sleep(time.Second)
		start(t, subscribe(t, s.JetStream("two"), "desk", durable.Config{}), r.handle)
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"order-1", "order-2", "order-1"}, r.ids())
	})
}
