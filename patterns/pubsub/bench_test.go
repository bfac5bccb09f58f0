package pubsub_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

const (
	messages = 60_000
	burst    = 20_000 // under way at once, so that nothing is dropped
)

// measure publishes all messages, a burst at a time, and returns how long it took
// until the last was handled.
func measure(b *testing.B, publish func(placed) error, handled <-chan struct{}) time.Duration {
	start := time.Now()
	for i := range messages {
		if err := publish(placed{i}); err != nil {
			b.Fatal(err)
		}
		if i%burst == burst-1 {
			<-handled
		}
	}
	return time.Since(start)
}

func ours(b *testing.B) time.Duration {
	s := natstest.Start(b)
	ctx, stop := context.WithCancel(b.Context())
	sub, err := pubsub.NewSubscriber[placed](ctx, s.Connect("subscriber"), "orders.*.placed", pubsub.Config{})
	if err != nil {
		b.Fatal(err)
	}
	handled, done := make(chan struct{}), make(chan error)
	go func() {
		done <- sub.Run(ctx, func(_ context.Context, m pubsub.Message[placed]) error {
			if m.Body.Total%burst == burst-1 {
				handled <- struct{}{}
			}
			return nil
		})
	}()
	nc := s.Connect("publisher")
	took := measure(b, func(p placed) error { return pubsub.Publish(nc, "orders.order-1.placed", p) }, handled)
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return took
}

func plain(b *testing.B) time.Duration {
	s := natstest.Start(b)
	handled := make(chan struct{})
	subscriber := s.Connect("subscriber")
	_, err := subscriber.Subscribe("orders.*.placed", func(m *nats.Msg) {
		var p placed
		if err := json.Unmarshal(m.Data, &p); err == nil && p.Total%burst == burst-1 {
			handled <- struct{}{}
		}
	})
	if err == nil {
		err = subscriber.Flush()
	}
	if err != nil {
		b.Fatal(err)
	}
	nc := s.Connect("publisher")
	return measure(b, func(p placed) error {
		data, err := json.Marshal(p)
		if err == nil {
			err = nc.Publish("orders.order-1.placed", data)
		}
		return err
	}, handled)
}

func BenchmarkThroughput(b *testing.B) {
	ratio.Bar{Pattern: "pubsub", Metric: "throughput, JSON included", AtLeast: 0.95, Pairs: 61}.Compare(b, plain, ours)
}
