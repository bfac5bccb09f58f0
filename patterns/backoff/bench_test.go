package backoff_test

import (
	"context"
	"fmt"
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
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

var data = make([]byte, 100)

// full is a fresh server with n messages in a queue.
func full(b *testing.B, n int) (js jetstream.JetStream, stop func()) {
	b.Helper()
	s := natstest.Start(b)
	js = s.JetStream("bench")
	require.NoError(b, backoff.Provision(b.Context(), js, "bench", backoff.Config{}))
	for i := range n {
		_, err := js.PublishAsync(fmt.Sprint("backoff.bench.do.", i), data)
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	return js, s.Stop
}

// drained times how long it takes until n messages have been handled. The second that
// it then takes until a request for more is over is not waited for here.
func drained(b *testing.B, n int, run func(ctx context.Context, js jetstream.JetStream, did func())) time.Duration {
	js, stop := full(b, n)
	ctx, cancel := context.WithCancel(b.Context())
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan struct{})
	var running sync.WaitGroup
	start := time.Now()
	running.Go(func() {
		run(ctx, js, func() {
			if left.Add(-1) == 0 {
				close(done)
			}
		})
	})
	<-done
	took := time.Since(start)
	cancel()
	js.Conn().Close()
	stop()
	b.Cleanup(running.Wait)
	return took
}

// The work: eight goroutines handle stored messages, each with a timeout, and ack them. As
// many messages are fetched as goroutines are idle.
func BenchmarkWorker(b *testing.B) {
	const n = 4_000
	ratio.Bar{Pattern: "backoff", Metric: "Run, beside Fetch, eight goroutines and Ack", AtLeast: 0.9, Pairs: 15}.Compare(b,
		func(b *testing.B) time.Duration {
			return drained(b, n, func(ctx context.Context, js jetstream.JetStream, did func()) {
				cons, err := js.Consumer(ctx, "BACKOFF_bench", "workers")
				assert.NoError(b, err)
				free, ready := make(chan struct{}, 8), make(chan jetstream.Msg, 8)
				var handlers sync.WaitGroup
				for range 8 {
					free <- struct{}{}
					handlers.Go(func() {
						for msg := range ready {
							_, cancel := context.WithTimeout(ctx, 10*time.Second)
							did()
							_ = msg.Ack()
							cancel()
							free <- struct{}{}
						}
					})
				}
				for ctx.Err() == nil {
					<-free
					want := 1
					for len(free) > 0 {
						<-free
						want++
					}
					batch, err := cons.Fetch(want, jetstream.FetchMaxWait(time.Second))
					if err != nil {
						break
					}
					for msg := range batch.Messages() {
						ready <- msg
						want--
					}
					for range want {
						free <- struct{}{}
					}
				}
				close(ready)
				handlers.Wait()
			})
		},
		func(b *testing.B) time.Duration {
			return drained(b, n, func(ctx context.Context, js jetstream.JetStream, did func()) {
				w, err := backoff.NewWorker(ctx, js, "bench", backoff.Config{})
				assert.NoError(b, err)
				assert.NoError(b, w.Run(ctx, func(context.Context, backoff.Message) error { did(); return nil }))
			})
		})
}

// The work: messages of 100 bytes are stored with their IDs, one by one.
func BenchmarkSend(b *testing.B) {
	const n = 2_000
	ratio.Bar{Pattern: "backoff", Metric: "Send, beside PublishMsg", AtLeast: 0.9, Pairs: 21}.Compare(b,
		func(b *testing.B) time.Duration {
			js, stop := full(b, 0)
			defer stop()
			start := time.Now()
			for i := range n {
				id := fmt.Sprint(i)
				_, err := js.PublishMsg(b.Context(), &nats.Msg{Subject: "backoff.bench.do." + id, Data: data}, jetstream.WithMsgID(id))
				require.NoError(b, err)
			}
			return time.Since(start)
		},
		func(b *testing.B) time.Duration {
			js, stop := full(b, 0)
			defer stop()
			sender, err := backoff.NewSender(b.Context(), js, "bench", backoff.Config{})
			require.NoError(b, err)
			start := time.Now()
			for i := range n {
				require.NoError(b, sender.Send(b.Context(), fmt.Sprint(i), &nats.Msg{Data: data}))
			}
			return time.Since(start)
		})
}

// The cost of starting a delay, in microseconds: by a nak, and by a schedule. There is no
// bar, because only the schedule holds no slot of MaxAckPending.
func BenchmarkWait(b *testing.B) {
	if b.N > 1 {
		return
	}
	const n = 900 // of the 1000 slots, which naks hold
	for what, wait := range map[string]time.Duration{"a short delay, a nak": 2 * time.Minute, "a long delay, a schedule": 3 * time.Minute} {
		took := drained(b, n, func(ctx context.Context, js jetstream.JetStream, did func()) {
			cfg := backoff.Config{ScheduleAfter: 150 * time.Second, Concurrency: 1, Bind: true,
				Policy: policy(retry.Config{Policy: retry.Policy{Initial: wait, Max: wait}, Breaker: never()})}
			w, err := backoff.NewWorker(ctx, js, "bench", cfg)
			assert.NoError(b, err)
			assert.NoError(b, w.Run(ctx, func(context.Context, backoff.Message) error { did(); return errDown }))
		})
		ratio.Report(b, "backoff", what, fmt.Sprintf("%.1fus", took.Seconds()*1e6/n), "price", true)
	}
}
