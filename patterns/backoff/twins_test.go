package backoff_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/backoff"
)

// plain is a consumer loop as it is often written: MaxDeliver and BackOff are set, and
// end is called for what failed; lint:bubble, in which it sleeps.
func plain(end func(jetstream.Msg) error) role {
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
			if handle(ctx, backoff.Message{ID: id, Try: int(meta.NumDelivered)}) == nil {
				_ = msg.Ack()
			} else {
				_ = end(msg)
			}
		})
		if err == nil {
			<-ctx.Done()
			c.Stop()
			<-c.Closed()
		}
	}
}

// again is the twin that tries again at once, in a loop, until it goes well or ten
// times have not.
func again(run role) role {
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

func but(change func(*backoff.Config)) role {
	cfg := swept
	change(&cfg)
	return worker(cfg)
}

// The same faults and the same judge find each bug.
func TestSweepFinds(t *testing.T) {
	for _, tc := range []struct {
		bug   string
		run   role
		amiss func(outcome) int
	}{
		{"a bare nak comes again at once", plain(jetstream.Msg.Nak), func(o outcome) int { return o.early }},
		{"a bare nak burns every try, and the message is stuck", plain(jetstream.Msg.Nak), func(o outcome) int { return o.stuck }},
		{"a delayed nak and MaxDeliver leave it stuck, later",
			plain(func(m jetstream.Msg) error { return m.NakWithDelay(time.Second) }), func(o outcome) int { return o.stuck }},
		{"trying again in a loop is early", again(worker(swept)), func(o outcome) int { return o.early }},
		{"retries without a budget are a storm", but(func(c *backoff.Config) { c.Budget, c.Breaker = plenty, open }), func(o outcome) int { return o.unbudgeted }},
		{"calls without a breaker hammer what is down", but(func(c *backoff.Config) { c.Breaker = open }), func(o outcome) int { return o.hammered }},
		{"and give up what would have been done", but(func(c *backoff.Config) { c.Budget, c.Breaker = plenty, open }), func(o outcome) int { return o.givenUp }},
	} {
		t.Run(tc.bug, func(t *testing.T) {
			var sum outcome
			for seed := uint64(0); seed < 1 || *histories > 20 && seed < *histories || seed < 40 && tc.amiss(sum) == 0; seed++ {
				sum.add(history(t, seed, tc.run))
			}
			require.Positive(t, tc.amiss(sum), "%+v", sum)
			t.Logf("%d; %+v", tc.amiss(sum), sum)
		})
	}
}
