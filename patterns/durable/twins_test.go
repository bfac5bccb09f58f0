package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/durable"
)

// fireAndForget is the twin that takes a nil from nc.Publish for a promise.
var fireAndForget = each(func(_ context.Context, js jetstream.JetStream, id string) error {
	return js.Conn().Publish("durable.orders."+id, nil)
})

// withoutID is the twin that publishes again, under no id; lint:bubble, in which it sleeps.
var withoutID = each(func(ctx context.Context, js jetstream.JetStream, id string) error {
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.Publish(try, "durable.orders."+id, nil)
		cancel()
		if err == nil {
			return nil
		}
	}
	return ctx.Err()
})

// ackFirst is the twin that acks, and then does the work.
func ackFirst(ctx context.Context, js jetstream.JetStream, handle durable.Handler) {
	cons, err := js.Consumer(ctx, "DURABLE_orders", "desk")
	if err != nil {
		return
	}
	c, err := cons.Consume(func(msg jetstream.Msg) {
		_ = msg.DoubleAck(ctx)
		_ = handle(ctx, durable.Message{ID: msg.Subject()[len("durable.orders."):]})
	})
	if err == nil {
		<-ctx.Done()
		c.Stop()
		<-c.Closed()
	}
}

// The same faults and the same judge find each bug.
func TestSweepFinds(t *testing.T) {
	for _, tc := range []struct {
		bug     string
		send    sender
		receive receiver
		amiss   func(outcome) int
	}{
		{"fire and forget loses", fireAndForget, resumes, func(o outcome) int { return o.lost }},
		{"a retry without an id stores twice", withoutID, resumes, func(o outcome) int { return o.twice }},
		{"ack first leaves undone", confirmed, ackFirst, func(o outcome) int { return o.unread }},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			var sum outcome
			for seed := uint64(0); seed < *histories || seed < 40 && tc.amiss(sum) == 0; seed++ {
				sum.add(history(t, seed, tc.send, tc.receive))
			}
			require.Positive(t, tc.amiss(sum), "%+v", sum)
			t.Logf("%d of %d", tc.amiss(sum), sum.believed)
		})
	}
}
