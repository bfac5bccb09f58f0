package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// The link is cut while the ack is on its way. A Subscriber acks until the server has
// said that it heard, and nobody does the message again; an ack that is only sent is
// lost, and the next process of the same name does it again.
func TestConfirm(t *testing.T) {
	plain := func(ctx context.Context, js jetstream.JetStream, handle durable.Handler) {
		cons, err := js.Consumer(ctx, "DURABLE_orders", "desk")
		if err != nil {
			return
		}
		c, err := cons.Consume(func(msg jetstream.Msg) {
			if handle(ctx, durable.Message{ID: "order-1"}) == nil {
				_ = msg.Ack()
			}
		})
		if err == nil {
			<-ctx.Done()
			c.Drain()
			<-c.Closed()
		}
	}
	for name, tc := range map[string]struct {
		receive receiver
		times   int
	}{"a Subscriber": {resumes, 1}, "the twin that sends its ack": {plain, 2}} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("shop")
				subscribe(t, js, "desk", durable.Config{})
				publish(t, js, "order-1")
				var l ledger
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					tc.receive(ctx, s.JetStream("desk"), func(ctx context.Context, msg durable.Message) error {
						s.Link("desk").Delay(100 * time.Millisecond) // the ack is on its way when
						time.AfterFunc(50*time.Millisecond, func() { s.Link("desk").Cut(); s.Link("desk").Delay(0) })
						return l.did(ctx, msg)
					})
				}()
				time.Sleep(10 * time.Second) // and the link has long been back when
				cancel()
				<-ended
				start(t, subscribe(t, js, "desk", durable.Config{}), l.did)
				time.Sleep(time.Minute)
				require.Len(t, l.ids(), tc.times)
			})
		})
	}
}

// An outage longer than AckWait brings the message again; who has done it knows.
func TestConfirmLate(t *testing.T) {
	for _, outage := range []time.Duration{1500 * time.Millisecond, 5 * time.Minute} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			cfg, link := durable.Config{AckWait: time.Second}, s.Link("desk")
			js := s.JetStream("shop")
			sub := subscribe(t, s.JetStream("desk"), "desk", cfg)
			publish(t, js, numbered(1, 3)...)
			var l ledger
			stop := start(t, sub, func(ctx context.Context, msg durable.Message) error {
				if msg.ID == "order-2" && msg.Delivery == 1 {
					link.Delay(100 * time.Millisecond) // the ack is on its way when
					time.AfterFunc(50*time.Millisecond, func() { link.Down(); link.Delay(0) })
					time.AfterFunc(outage, link.Up)
				}
				return l.did(ctx, msg)
			})
			time.Sleep(10 * time.Minute)
			stop()
			require.Equal(t, numbered(1, 3), l.ids())
		})
	}
}
