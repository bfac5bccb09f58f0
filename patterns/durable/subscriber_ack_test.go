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

// The connection breaks while the ack is in flight. A Subscriber acks until the server
// confirms it, and the message is handled once. A mutant that only sends its ack loses it,
// and the next process with the name handles the message again.
func TestAckConfirmed(t *testing.T) {
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
	}{"a Subscriber": {resumes, 1}, "the mutant that only sends its ack": {plain, 2}} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("shop")
				subscribe(t, js, "desk", durable.Config{})
				publish(t, js, "order-1")
				var r recorder
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					tc.receive(ctx, s.JetStream("desk"), func(ctx context.Context, msg durable.Message) error {
						s.Link("desk").Delay(100 * time.Millisecond) // the connection breaks while the ack is in flight
						time.AfterFunc(50*time.Millisecond, func() { s.Link("desk").Cut(); s.Link("desk").Delay(0) })
						return r.handle(ctx, msg)
					})
				}()
				time.Sleep(10 * time.Second) // long after the reconnect
				cancel()
				<-ended
				start(t, subscribe(t, js, "desk", durable.Config{}), r.handle)
				time.Sleep(time.Minute)
				require.Len(t, r.ids(), tc.times)
			})
		})
	}
}

// After an outage longer than AckWait the message is redelivered. The process that handled
// it acks it without calling the handler again.
func TestAckRetried(t *testing.T) {
	for _, outage := range []time.Duration{1500 * time.Millisecond, 5 * time.Minute} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			cfg, link := durable.Config{AckWait: time.Second}, s.Link("desk")
			js := s.JetStream("shop")
			sub := subscribe(t, s.JetStream("desk"), "desk", cfg)
			publish(t, js, numbered(1, 3)...)
			var r recorder
			stop := start(t, sub, func(ctx context.Context, msg durable.Message) error {
				if msg.ID == "order-2" && msg.Delivery == 1 {
					link.Delay(100 * time.Millisecond) // the connection breaks while the ack is in flight
					time.AfterFunc(50*time.Millisecond, func() { link.Down(); link.Delay(0) })
					time.AfterFunc(outage, link.Up)
				}
				return r.handle(ctx, msg)
			})
			time.Sleep(10 * time.Minute)
			stop()
			require.Equal(t, numbered(1, 3), r.ids())
		})
	}
}
