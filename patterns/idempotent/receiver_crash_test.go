package idempotent_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

// Where a worker can crash.
const (
	beforeEffect = "before the effect" // and after the claim, where there is one
	afterEffect  = "after the effect"  // and before the record
	beforeAck    = "before the ack"    // and after the record
)

// newInput creates the stream IN with n messages, and returns its consumer.
func newInput(t *testing.T, js jetstream.JetStream, n int, storage jetstream.StorageType) jetstream.Consumer {
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "IN", Subjects: []string{"in.*"}, Storage: storage})
	require.NoError(t, err)
	cons, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Second,
	})
	require.NoError(t, err)
	for i := range n {
		_, err := js.Publish(t.Context(), fmt.Sprint("in.msg-", i), nil)
		require.NoError(t, err)
	}
	return cons
}

// runWorker runs until ctx ends, or until at crashes it with runtime.Goexit: then no ack
// is sent and no claim released, and only the database notices it and rolls back.
func runWorker(ctx context.Context, cons jetstream.Consumer, v variant, once onceFunc, at func(point, id string)) {
	for ctx.Err() == nil {
		batch, err := cons.Fetch(1, jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		for msg := range batch.Messages() {
			id := strings.TrimPrefix(msg.Subject(), "in.")
			if v.name == ackFirst.name {
				_ = msg.Ack() // the bug: too early
			}
			_, err := once(ctx, id, func(to execer) error {
				at(beforeEffect, id)
				if err := execute(to, id); err != nil {
					return err
				}
				at(afterEffect, id)
				return nil
			})
			at(beforeAck, id)
			if err == nil {
				err = msg.Ack()
			}
			if err != nil {
				_ = msg.NakWithDelay(time.Second) // if it fails, AckWait ends
			}
		}
		if batch.Error() != nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// violations counts the messages whose effect took place more than once, or never.
type violations struct{ duplicated, lost int }

func countViolations(times map[string]int, n int) (o violations) {
	for i := range n {
		o.add(times[fmt.Sprint("msg-", i)])
	}
	return o
}

func (o *violations) add(times int) {
	switch {
	case times == 0:
		o.lost++
	case times > 1:
		o.duplicated++
	}
}

const messages = 20

var memoryConfig = idempotent.Config{MaxAge: config.MaxAge, Lease: config.Lease, Storage: jetstream.MemoryStorage}

func isSlow(id string) bool { return strings.ContainsAny(id[len(id)-1:], "13579") }

var points = []string{beforeEffect, afterEffect, beforeAck}

// crashes runs workers that crash once at each of thirty messages, ten at each point, and
// start again.
func crashes(t *testing.T, v variant) map[string]violations {
	o := map[string]violations{}
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		db, js := newDB(t, 1), s.JetStream("worker")
		cons := newInput(t, js, 30, memoryConfig.Storage)
		crashAt := map[string]string{}
		for i := range 30 {
			crashAt[fmt.Sprint("msg-", i)] = points[i%3]
		}
		at := func(here, id string) {
			if crashAt[id] == here {
				delete(crashAt, id)
				runtime.Goexit()
			}
		}
		for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
			ctx, cancel := context.WithDeadline(t.Context(), end)
			crashed := make(chan struct{})
			once, err := v.open(ctx, js, db, "mailer", memoryConfig)
			require.NoError(t, err)
			go func() {
				defer close(crashed)
				runWorker(ctx, cons, v, once, at)
			}()
			<-crashed
			cancel()
		}
		times := db.executions()
		for i := range 30 {
			at := o[points[i%3]]
			at.add(times[fmt.Sprint("msg-", i)])
			o[points[i%3]] = at
		}
	})
	return o
}

// slow runs workers that take longer than AckWait for every other message, and idle ones
// that receive the redeliveries.
func slow(t *testing.T, v variant) (o violations) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		db := newDB(t, 1)
		cons := newInput(t, s.JetStream("client"), messages, memoryConfig.Storage)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		cfg := memoryConfig
		cfg.Lease = 20 * time.Second
		ended := make(chan struct{})
		for i := range 21 {
			js := s.JetStream(fmt.Sprint("worker-", i))
			once, err := v.open(ctx, js, db, "mailer", cfg)
			require.NoError(t, err)
			go func() {
				runWorker(ctx, cons, v, once, func(here, id string) {
					if here == beforeEffect && isSlow(id) {
						time.Sleep(15 * time.Second)
					}
				})
				ended <- struct{}{}
			}()
			time.Sleep(10 * time.Millisecond)
		}
		for range 21 {
			<-ended
		}
		o = countViolations(db.executions(), messages)
	})
	return o
}

// The violations of each variant, with ten crashes of each kind. Only the record in the
// transaction has none.
func TestCrash(t *testing.T) {
	none := violations{}
	for _, c := range []struct {
		variant                                    variant
		beforeEffect, afterEffect, beforeAck, slow violations
	}{
		{inTx, none, none, none, none},
		{inKV, none, violations{duplicated: 10}, none, none},
		{recordAfter, none, violations{duplicated: 10}, none, violations{duplicated: 10}},
		{claimFirst, violations{lost: 10}, none, none, none},
		{noRecord, none, violations{duplicated: 10}, violations{duplicated: 10}, violations{duplicated: 10}},
		{ackFirst, violations{lost: 10}, none, none, none},
	} {
		t.Run(c.variant.name, func(t *testing.T) {
			require.Equal(t, map[string]violations{beforeEffect: c.beforeEffect, afterEffect: c.afterEffect, beforeAck: c.beforeAck}, crashes(t, c.variant))
			require.Equal(t, c.slow, slow(t, c.variant), "slow")
		})
	}
}
