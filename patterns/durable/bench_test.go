package durable_test

import (
	"context"
	"fmt"
	"strconv"
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
	"github.com/natspatterns/catalog/patterns/durable"
)

// topic starts a server and creates a topic.
func topic(b *testing.B) (js jetstream.JetStream, stop func()) {
	b.Helper()
	s := natstest.Start(b)
	js = s.JetStream("bench")
	require.NoError(b, durable.Provision(b.Context(), js, "bench", []string{"bench"}, durable.Config{}))
	return js, s.Stop
}

// many calls f with 1 to n in eight goroutines, and returns the duration.
func many(n int, f func(i int)) time.Duration {
	var next atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for range 8 {
		all.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				f(i)
			}
		})
	}
	all.Wait()
	return time.Since(start)
}

var data = make([]byte, 100)

func named(i int) *nats.Msg {
	id := strconv.Itoa(i)
	return &nats.Msg{Subject: "durable.bench." + id, Header: nats.Header{jetstream.MsgIDHeader: {id}}, Data: data}
}

// Eight goroutines publish messages of 100 bytes, each with its ID and at most a thousand in
// flight, until all are confirmed.
func BenchmarkPublisher(b *testing.B) {
	const n = 20_000
	ratio.Bar{Pattern: "durable", Metric: "pipelined, beside PublishMsgAsync", AtLeast: 0.9, Pairs: 15}.Compare(b,
		func(b *testing.B) time.Duration {
			js, stop := topic(b)
			defer stop()
			async, err := jetstream.New(js.Conn(), jetstream.WithPublishAsyncMaxPending(1000))
			require.NoError(b, err)
			start := time.Now()
			many(n, func(i int) {
				_, err := async.PublishMsgAsync(named(i), jetstream.WithStallWait(time.Minute))
				assert.NoError(b, err)
			})
			<-async.PublishAsyncComplete()
			return time.Since(start)
		},
		func(b *testing.B) time.Duration {
			js, stop := topic(b)
			defer stop()
			p, err := durable.NewPublisher(b.Context(), js, "bench", durable.Config{})
			require.NoError(b, err)
			start := time.Now()
			many(n, func(i int) { assert.NoError(b, p.Send(b.Context(), strconv.Itoa(i), &nats.Msg{Data: data})) })
			require.NoError(b, p.Flush(b.Context()))
			took := time.Since(start)
			require.NoError(b, p.Close(b.Context()))
			return took
		})
}

// As BenchmarkPublisher, but each goroutine waits for the ack of each message.
func BenchmarkPublish(b *testing.B) {
	const n = 8_000
	ratio.Bar{Pattern: "durable", Metric: "one by one, beside PublishMsg", AtLeast: 0.9, Pairs: 21}.Compare(b,
		func(b *testing.B) time.Duration {
			js, stop := topic(b)
			defer stop()
			return many(n, func(i int) {
				_, err := js.PublishMsg(b.Context(), named(i))
				assert.NoError(b, err)
			})
		},
		func(b *testing.B) time.Duration {
			js, stop := topic(b)
			defer stop()
			return many(n, func(i int) {
				_, err := durable.Publish(b.Context(), js, "bench", strconv.Itoa(i), &nats.Msg{Data: data})
				assert.NoError(b, err)
			})
		})
}

// drained returns the time until n stored messages are acked.
func drained(b *testing.B, n int, run func(js jetstream.JetStream, handled func()) (stop func())) time.Duration {
	js, stop := topic(b)
	defer stop()
	for i := range n {
		_, err := js.PublishMsgAsync(named(i))
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	done, left := make(chan struct{}), n
	start := time.Now()
	end := run(js, func() {
		if left--; left == 0 {
			close(done)
		}
	})
	<-done
	took := time.Since(start)
	end()
	return took
}

func consumePlain(b *testing.B, ack func(jetstream.Msg) error) func(js jetstream.JetStream, handled func()) func() {
	return func(js jetstream.JetStream, handled func()) func() {
		cons, err := js.Consumer(b.Context(), "DURABLE_bench", "bench")
		require.NoError(b, err)
		c, err := cons.Consume(func(msg jetstream.Msg) {
			if ack(msg) == nil {
				handled()
			}
		}, jetstream.PullMaxMessages(100))
		require.NoError(b, err)
		return func() { c.Stop(); <-c.Closed() }
	}
}

// Stored messages are consumed in order, one at a time, with confirmed acks.
func BenchmarkSubscriber(b *testing.B) {
	const n = 3_000
	ratio.Bar{Pattern: "durable", Metric: "Run, beside Consume and DoubleAck", AtLeast: 0.9, Pairs: 21}.Compare(b,
		func(b *testing.B) time.Duration {
			return drained(b, n, consumePlain(b, func(msg jetstream.Msg) error { return msg.DoubleAck(b.Context()) }))
		},
		func(b *testing.B) time.Duration {
			return drained(b, n, func(js jetstream.JetStream, handled func()) func() {
				ctx, cancel := context.WithCancel(b.Context())
				sub, err := durable.NewSubscriber(ctx, js, "bench", "bench", durable.Config{})
				require.NoError(b, err)
				ended := make(chan error)
				go func() { ended <- sub.Run(ctx, func(context.Context, durable.Message) error { handled(); return nil }) }()
				return func() { cancel(); require.NoError(b, <-ended) }
			})
		})
}

// The cost of each guarantee, in microseconds a message on one machine. There is no bar,
// because each number is of another guarantee.
func BenchmarkPrice(b *testing.B) {
	if b.N > 1 {
		return
	}
	const n = 3_000
	report := func(what string, took time.Duration) {
		ratio.Report(b, "durable", what, fmt.Sprintf("%.1fus", took.Seconds()*1e6/n), "price", true)
	}
	js, stop := topic(b)
	defer stop()
	start := time.Now()
	for range n {
		require.NoError(b, js.Conn().Publish("unsubscribed", data))
	}
	require.NoError(b, js.Conn().Flush())
	report("fire and forget", time.Since(start))
	p, err := durable.NewPublisher(b.Context(), js, "bench", durable.Config{})
	require.NoError(b, err)
	start = time.Now()
	for i := range n {
		require.NoError(b, p.Send(b.Context(), fmt.Sprint("a-", i), &nats.Msg{Data: data}))
	}
	require.NoError(b, p.Close(b.Context()))
	report("confirmed, pipelined", time.Since(start))
	start = time.Now()
	for i := range n {
		_, err := durable.Publish(b.Context(), js, "bench", fmt.Sprint("b-", i), &nats.Msg{Data: data})
		require.NoError(b, err)
	}
	report("confirmed, one by one, in order", time.Since(start))
	report("consumed, with an ack that is sent", drained(b, n, consumePlain(b, jetstream.Msg.Ack)))
	report("consumed, with an ack that is confirmed", drained(b, n, consumePlain(b, func(msg jetstream.Msg) error { return msg.DoubleAck(b.Context()) })))
}
