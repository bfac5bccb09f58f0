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

// Where a worker may die.
const (
	beforeEffect = "before the effect" // and after the claim, where there is one
	afterEffect  = "after the effect"  // and before the record
	beforeAck    = "before the ack"    // and after the record
)

// inbox makes the stream of letters to be sent, n of them in it, and its consumer.
func inbox(t *testing.T, js jetstream.JetStream, n int, storage jetstream.StorageType) jetstream.Consumer {
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "IN", Subjects: []string{"in.*"}, Storage: storage})
	require.NoError(t, err)
	cons, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "post", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Second})
	require.NoError(t, err)
	for i := range n {
		_, err := js.Publish(t.Context(), fmt.Sprint("in.letter-", i), nil)
		require.NoError(t, err)
	}
	return cons
}

// work is a worker's life, until ctx ends or at ends it by runtime.Goexit: which is
// a death that nothing hears of, but for a database, which rolls back.
func work(ctx context.Context, cons jetstream.Consumer, f form, post receive, at func(point, id string)) {
	for ctx.Err() == nil {
		batch, err := cons.Fetch(1, jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		for msg := range batch.Messages() {
			id := strings.TrimPrefix(msg.Subject(), "in.")
			if f.name == ackFirst.name {
				_ = msg.Ack() // too early: that is the bug
			}
			_, err := post(ctx, id, func(to execer) error {
				at(beforeEffect, id)
				if err := send(to, id); err != nil {
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
				_ = msg.NakWithDelay(time.Second) // or AckWait brings it back
			}
		}
		if batch.Error() != nil {
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// outcome is how many letters were sent more than once, or never.
type outcome struct{ doubled, lost int }

func judge(times map[string]int, n int) (o outcome) {
	for i := range n {
		o.add(times[fmt.Sprint("letter-", i)])
	}
	return o
}

func (o *outcome) add(times int) {
	switch {
	case times == 0:
		o.lost++
	case times > 1:
		o.doubled++
	}
}

const letters = 20

var quick = idempotent.Config{Keep: soon.Keep, Lease: soon.Lease, Storage: jetstream.MemoryStorage}

func unlucky(id string) bool { return strings.ContainsAny(id[len(id)-1:], "13579") }

var points = []string{beforeEffect, afterEffect, beforeAck}

// crashes has a worker die at each of thirty letters, once, ten at each point, and
// another take over.
func crashes(t *testing.T, f form) map[string]outcome {
	o := map[string]outcome{}
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		w, js := newWorld(t, 1), s.JetStream("worker")
		cons := inbox(t, js, 30, quick.Storage)
		doomed := map[string]string{}
		for i := range 30 {
			doomed[fmt.Sprint("letter-", i)] = points[i%3]
		}
		at := func(here, id string) {
			if doomed[id] == here {
				delete(doomed, id)
				runtime.Goexit()
			}
		}
		for end := time.Now().Add(40 * time.Second); time.Now().Before(end); {
			ctx, cancel := context.WithDeadline(t.Context(), end)
			died := make(chan struct{})
			post, err := f.open(ctx, js, w, "post", quick)
			require.NoError(t, err)
			go func() {
				defer close(died)
				work(ctx, cons, f, post, at)
			}()
			<-died
			cancel()
		}
		times := w.sent()
		for i := range 30 {
			at := o[points[i%3]]
			at.add(times[fmt.Sprint("letter-", i)])
			o[points[i%3]] = at
		}
	})
	return o
}

// slow has workers that take longer for every other letter than AckWait, and others
// who are free when it has passed.
func slow(t *testing.T, f form) (o outcome) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		w := newWorld(t, 1)
		cons := inbox(t, s.JetStream("client"), letters, quick.Storage)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
		defer cancel()
		cfg := quick
		cfg.Lease = 20 * time.Second
		ended := make(chan struct{})
		for i := range 21 {
			js := s.JetStream(fmt.Sprint("worker-", i))
			post, err := f.open(ctx, js, w, "post", cfg)
			require.NoError(t, err)
			go func() {
				work(ctx, cons, f, post, func(here, id string) {
					if here == beforeEffect && unlucky(id) {
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
		o = judge(w.sent(), letters)
	})
	return o
}

// Which form survives what, at ten accidents of each kind. The record
// in the transaction is the only one that survives all.
func TestCrash(t *testing.T) {
	none := outcome{}
	for _, c := range []struct {
		form                                       form
		beforeEffect, afterEffect, beforeAck, slow outcome
	}{
		{inTx, none, none, none, none},
		{inKV, none, outcome{doubled: 10}, none, none},
		{recordAfter, none, outcome{doubled: 10}, none, outcome{doubled: 10}},
		{claimFirst, outcome{lost: 10}, none, none, none},
		{naive, none, outcome{doubled: 10}, outcome{doubled: 10}, outcome{doubled: 10}},
		{ackFirst, outcome{lost: 10}, none, none, none},
	} {
		t.Run(c.form.name, func(t *testing.T) {
			require.Equal(t, map[string]outcome{beforeEffect: c.beforeEffect, afterEffect: c.afterEffect, beforeAck: c.beforeAck}, crashes(t, c.form))
			require.Equal(t, c.slow, slow(t, c.form), "slow")
		})
	}
}
