package queueing_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/queueing"
)

const jobs = 25_000

// until returns a channel that is closed when f has been called n times.
func until(n int64) (f func(), done chan struct{}) {
	var left atomic.Int64
	left.Store(n)
	done = make(chan struct{})
	return func() {
		if left.Add(-1) == 0 {
			close(done)
		}
	}, done
}

// filled is a server whose queue holds jobs of 100 bytes.
func filled(b *testing.B) (js jetstream.JetStream, stop func()) {
	b.Helper()
	s := natstest.Start(b)
	js = s.JetStream("worker")
	cfg := queueing.Config{InFlight: 10_000}
	require.NoError(b, queueing.Provision(b.Context(), js, "bench", cfg))
	data := make([]byte, 100)
	for i := range jobs {
		_, err := js.PublishAsync(fmt.Sprint("jobs.bench.", i), data)
		require.NoError(b, err)
		if i%2000 == 1999 {
			<-js.PublishAsyncComplete()
		}
	}
	return js, s.Stop
}

// The work: every job of a full queue is taken, handled and acked, 1,000 at most
// on the way.
func BenchmarkWorkQueue(b *testing.B) {
	ratio.Bar{Pattern: "queueing", Metric: "work queue beside Consume+Ack", AtLeast: 0.9, Pairs: 11}.Compare(b,
		func(b *testing.B) time.Duration {
			js, stop := filled(b)
			defer stop()
			require.NoError(b, js.DeleteConsumer(b.Context(), "JOBS_bench", "workers"))
			cons, err := js.CreateConsumer(b.Context(), "JOBS_bench", jetstream.ConsumerConfig{
				Durable: "plain", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000,
			})
			require.NoError(b, err)
			did, done := until(jobs)
			start := time.Now()
			c, err := cons.Consume(func(msg jetstream.Msg) {
				if msg.Ack() == nil {
					did()
				}
			}, jetstream.PullMaxMessages(1000))
			require.NoError(b, err)
			<-done
			took := time.Since(start)
			c.Stop()
			<-c.Closed()
			return took
		},
		func(b *testing.B) time.Duration {
			js, stop := filled(b)
			defer stop()
			ctx, cancel := context.WithCancel(b.Context())
			w, err := queueing.NewWorker(ctx, js, "bench", queueing.Config{Ahead: 999, InFlight: 10_000})
			require.NoError(b, err)
			did, done := until(jobs)
			ended := make(chan error)
			start := time.Now()
			go func() { ended <- w.Run(ctx, func(context.Context, *nats.Msg) error { did(); return nil }) }()
			<-done
			took := time.Since(start)
			cancel()
			require.NoError(b, <-ended)
			return took
		})
}

// The work: bursts of jobs of 100 bytes are published and handled, each as large as
// what a member buffers has room for.
func BenchmarkQueueGroup(b *testing.B) {
	s := natstest.Start(b)
	client, worker := s.Connect("client"), s.Connect("worker")
	data, done := make([]byte, 100), make(chan struct{}, 1)
	handled := 0 // of a burst, by one goroutine
	did := func() {
		if handled++; handled == jobs {
			handled = 0
			done <- struct{}{}
		}
	}
	bursts := func(b *testing.B) time.Duration {
		start := time.Now()
		for range 2 {
			for range jobs {
				require.NoError(b, client.Publish("offers.bench.1", data))
			}
			<-done
		}
		return time.Since(start)
	}
	ratio.Bar{Pattern: "queueing", Metric: "queue group beside QueueSubscribe", AtLeast: 0.85, Pairs: 41}.Compare(b,
		func(b *testing.B) time.Duration {
			sub, err := worker.QueueSubscribe("offers.bench.*", "bench", func(*nats.Msg) { did() })
			require.NoError(b, err)
			require.NoError(b, worker.Flush())
			took := bursts(b)
			require.NoError(b, sub.Unsubscribe())
			return took
		},
		func(b *testing.B) time.Duration {
			ctx, cancel := context.WithCancel(b.Context())
			m, err := queueing.NewMember(ctx, worker, "bench", queueing.Config{})
			require.NoError(b, err)
			ended := make(chan error)
			go func() { ended <- m.Run(ctx, func(context.Context, *nats.Msg) error { did(); return nil }) }()
			took := bursts(b)
			cancel()
			require.NoError(b, <-ended)
			return took
		})
}
