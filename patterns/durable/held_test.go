package durable_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// An outage longer than the dedupe window: what was stored before it, its answer lost,
// is not sent again after.
func TestOutlastsWindow(t *testing.T) {
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

// Cut off for longer than AckWait with a message in hand, a process does not know
// that another of its name was given it too.
func TestCutOffTwin(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		publish(t, shopWithTopic(t, js), numbered(1, 2)...)
		var l ledger
		var once atomic.Bool
		start(t, subscribe(t, s.JetStream("one"), "desk", durable.Config{}), func(ctx context.Context, msg durable.Message) error {
			if once.CompareAndSwap(false, true) {
				s.Link("one").Down()
				time.AfterFunc(5*time.Minute, s.Link("one").Up)
				time.Sleep(2 * time.Minute)
			}
			return l.did(ctx, msg)
		})
		time.Sleep(time.Second)
		start(t, subscribe(t, s.JetStream("two"), "desk", durable.Config{}), l.did)
		time.Sleep(10 * time.Minute)
		require.Equal(t, []string{"order-1", "order-2", "order-1"}, l.ids())
	})
}

// Sent back while it has a message in hand, of which the server then wants to know
// nothing, a subscriber goes on from where it was sent.
func TestResetInHand(t *testing.T) {
	for name, outcome := range map[string]error{"done": nil, "failed": errors.New("not now")} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("shop")
				publish(t, shopWithTopic(t, js), numbered(1, 5)...)
				operator := subscribe(t, s.JetStream("operator"), "desk", durable.Config{})
				var l ledger
				var once atomic.Bool
				start(t, subscribe(t, s.JetStream("desk"), "desk", durable.Config{}), func(ctx context.Context, msg durable.Message) error {
					if msg.Seq == 5 && once.CompareAndSwap(false, true) {
						assert.NoError(t, operator.Reset(ctx, 3))
						time.Sleep(time.Second)
						return errors.Join(outcome, l.did(ctx, msg))
					}
					return l.did(ctx, msg)
				})
				time.Sleep(time.Minute)
				require.Equal(t, append(numbered(1, 5), numbered(3, 5)...), l.ids())
			})
		})
	}
}
