package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/durable"
)

// fireAndForget is a mutant that takes a nil of nc.Publish for an ack.
var fireAndForget = each(func(_ context.Context, js jetstream.JetStream, id string) error {
	return js.Conn().Publish("durable.orders."+id, nil)
})

// withoutID is a mutant that retries without an ID; lint:bubble, it runs in one.
var withoutID = each(func(ctx context.Context, js jetstream.JetStream, id string) error {
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.Publish(attempt, "durable.orders."+id, nil)
		cancel()
		if err == nil {
			return nil
		}
	}
	return ctx.Err()
})

// ackFirst is a mutant that acks before it handles.
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

// The sweep finds each mutant.
func TestSweepFindsMutants(t *testing.T) {
	for _, tc := range []struct {
		bug        string
		send       sender
		receive    receiver
		violations func(outcome) int
	}{
		{"fire and forget loses messages", fireAndForget, resumes, func(o outcome) int { return o.lost }},
		{"a retry without an ID stores duplicates", withoutID, resumes, func(o outcome) int { return o.duplicates }},
		{"an ack before the handler loses effects", oneByOne, ackFirst, func(o outcome) int { return o.unhandled }},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			var sum outcome
			for seed := uint64(0); seed < *histories || seed < 40 && tc.violations(sum) == 0; seed++ {
				sum.add(history(t, seed, tc.send, tc.receive))
			}
			require.Positive(t, tc.violations(sum), "%+v", sum)
			t.Logf("%d of %d", tc.violations(sum), sum.confirmed)
		})
	}
}
