package backoff_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

// plain is a common consumer loop: MaxDeliver and BackOff are set, and onError is called
// for a failed message; lint:bubble, in which it sleeps.
func plain(onError func(jetstream.Msg) error) role {
	return func(ctx context.Context, js jetstream.JetStream, handle backoff.Handler) {
		var cons jetstream.Consumer
		for err := error(nil); cons == nil && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			cons, err = js.CreateOrUpdateConsumer(ctx, "BACKOFF_bank", jetstream.ConsumerConfig{
				Durable: "workers", FilterSubject: "backoff.bank.do.*", AckPolicy: jetstream.AckExplicitPolicy,
				MaxDeliver: 5, BackOff: []time.Duration{4 * time.Second, 8 * time.Second},
			})
			if err != nil {
				cons = nil
			}
		}
		if cons == nil {
			return
		}
		c, err := cons.Consume(func(msg jetstream.Msg) {
			meta, _ := msg.Metadata()
			id := msg.Subject()[len("backoff.bank.do."):]
			if handle(ctx, backoff.Message{ID: id, Delivery: int(meta.NumDelivered)}) == nil {
				_ = msg.Ack()
			} else {
				_ = onError(msg)
			}
		})
		if err == nil {
			<-ctx.Done()
			c.Stop()
			<-c.Closed()
		}
	}
}

// loop retries without a delay, up to ten times.
func loop(run role) role {
	return func(ctx context.Context, js jetstream.JetStream, handle backoff.Handler) {
		run(ctx, js, func(ctx context.Context, msg backoff.Message) (err error) {
			for range 10 {
				if err = handle(ctx, msg); err == nil {
					return nil
				}
			}
			return err
		})
	}
}

// without is a worker whose policy lacks a budget or a breaker.
func without(change func(*retry.Config)) role {
	return worker(func() backoff.Config {
		cfg := swept()
		r := retry.Config{Policy: sweptPolicy, Budget: sweptBudget(), Breaker: sweptBreaker()}
		change(&r)
		cfg.Policy = policy(r)
		return cfg
	})
}

// The same faults and the same checks find each bug.
func TestSweepFinds(t *testing.T) {
	for _, tc := range []struct {
		bug   string
		run   role
		found func(outcome) int
	}{
		{"a bare nak is redelivered at once", plain(jetstream.Msg.Nak), func(o outcome) int { return o.early }},
		{"a bare nak uses up all deliveries, and the message is stuck", plain(jetstream.Msg.Nak), func(o outcome) int { return o.stuck }},
		{"a delayed nak with MaxDeliver leaves it stuck later",
			plain(func(m jetstream.Msg) error { return m.NakWithDelay(time.Second) }), func(o outcome) int { return o.stuck }},
		{"a retry loop in the handler is early", loop(worker(swept)), func(o outcome) int { return o.early }},
		{"retries without a budget are a retry storm", without(func(r *retry.Config) { r.Budget, r.Breaker = plenty(), never() }),
			func(o outcome) int { return o.unbudgeted }},
		{"calls without a breaker hammer a dependency that is down", without(func(r *retry.Config) { r.Breaker = never() }),
			func(o outcome) int { return o.hammered }},
		{"without both, messages fail that would succeed later", without(func(r *retry.Config) { r.Budget, r.Breaker = plenty(), never() }),
			func(o outcome) int { return o.failed }},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			var sum outcome
			for seed := uint64(0); seed < 1 || *histories > 20 && seed < *histories || seed < 40 && tc.found(sum) == 0; seed++ {
				sum.add(history(t, seed, tc.run))
			}
			require.Positive(t, tc.found(sum), "%+v", sum)
			t.Logf("%d; %+v", tc.found(sum), sum)
		})
	}
}
