package queueing_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
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
	cfg := queueing.Config{MaxAckPending: 10_000}
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

// The work: every job of a full queue is delivered, handled and acked, at most 1,000 of
// them in flight.
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
			w, err := queueing.NewWorker(ctx, js, "bench", queueing.Config{Prefetch: 999, MaxAckPending: 10_000})
			require.NoError(b, err)
			did, done := until(jobs)
			ended := make(chan error)
			start := time.Now()
			go func() { ended <- w.Run(ctx, func(context.Context, queueing.Message) error { did(); return nil }) }()
			<-done
			took := time.Since(start)
			cancel()
			require.NoError(b, <-ended)
			return took
		})
}

// The work: bursts of 25,000 jobs of 100 bytes are published and handled.
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
	ratio.Bar{Pattern: "queueing", Metric: "queue group beside QueueSubscribe", AtLeast: 0.9, Pairs: 41}.Compare(b,
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
			go func() { ended <- m.Run(ctx, func(context.Context, queueing.Message) error { did(); return nil }) }()
			took := bursts(b)
			cancel()
			require.NoError(b, <-ended)
			return took
		})
}

// The work: 10,000 jobs of 100 bytes are stored, each with an ID of its own.
func BenchmarkSendAll(b *testing.B) {
	const writers, n = 16, 10_000
	s := natstest.Start(b)
	js := s.JetStream("client")
	require.NoError(b, queueing.Provision(b.Context(), js, "bench", queueing.Config{}))
	stream, err := js.Stream(b.Context(), "JOBS_bench")
	require.NoError(b, err)
	data, last := make([]byte, 100), 0
	ids := func() (ids []string) {
		require.NoError(b, stream.Purge(b.Context()))
		for range n {
			last++
			ids = append(ids, fmt.Sprint(last))
		}
		return ids
	}
	ratio.Bar{Pattern: "queueing", Metric: "SendAll beside Send with 16 writers", AtLeast: 1.5, Pairs: 15}.Compare(b,
		func(b *testing.B) time.Duration {
			ids := ids()
			var all sync.WaitGroup
			start := time.Now()
			for part := range slices.Chunk(ids, n/writers) {
				all.Go(func() {
					for _, id := range part {
						_, err := queueing.Send(b.Context(), js, "bench", id, &nats.Msg{Data: data})
						assert.NoError(b, err)
					}
				})
			}
			all.Wait()
			return time.Since(start)
		},
		func(b *testing.B) time.Duration {
			var jobs []queueing.Job
			for _, id := range ids() {
				jobs = append(jobs, queueing.Job{ID: id, Msg: &nats.Msg{Data: data}})
			}
			start := time.Now()
			_, err := queueing.SendAll(b.Context(), js, "bench", jobs...)
			require.NoError(b, err)
			return time.Since(start)
		})
}
