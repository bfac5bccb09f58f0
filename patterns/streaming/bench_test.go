package streaming_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// Forty thousand events under fifty keys, stored before; a result for each of them
// a window. The plain processor keeps its windows in memory, where a crash ends them.
func BenchmarkProcessor(b *testing.B) {
	const events, keys = 40_000, 50
	feed := func(b *testing.B) (js jetstream.JetStream, done chan struct{}, stop func()) {
		s := natstest.Start(b)
		js = s.JetStream("processor")
		require.NoError(b, streaming.Provision(b.Context(), js, "tea", streaming.Config{}))
		t0 := time.Now().Add(-2 * time.Hour).Truncate(time.Minute)
		for i := range events {
			msg := nats.NewMsg(fmt.Sprint("feed.tea.pot-", i%keys))
			msg.Header.Set(streaming.HeaderTime, t0.Add(time.Duration(i)*time.Hour/events).UTC().Format(time.RFC3339Nano))
			msg.Data = fmt.Appendf(nil, `{"name":"%d"}`, i)
			_, err := js.PublishMsgAsync(msg)
			require.NoError(b, err)
			if i%2000 == 1999 {
				<-js.PublishAsyncComplete()
			}
		}
		done = make(chan struct{})
		var results atomic.Int64
		sub, err := s.Connect("sink").Subscribe("results.tea.*", func(*nats.Msg) {
			if results.Add(1) == 59*keys {
				close(done)
			}
		})
		require.NoError(b, err)
		require.NoError(b, sub.SetPendingLimits(-1, -1))
		return js, done, s.Stop
	}
	ratio.Bar{Pattern: "streaming", Metric: "processor beside Consume+ack+publish", AtLeast: 0.5}.Compare(b,
		func(b *testing.B) time.Duration {
			js, done, stop := feed(b)
			defer stop()
			cons, err := js.CreateConsumer(b.Context(), "FEED_tea", jetstream.ConsumerConfig{Durable: "plain", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 10_000})
			require.NoError(b, err)
			open := map[string]*streaming.Result[int]{}
			start := time.Now()
			c, err := cons.Consume(func(msg jetstream.Msg) {
				at, err := time.Parse(time.RFC3339Nano, msg.Headers().Get(streaming.HeaderTime))
				var ev reading
				if err != nil || json.Unmarshal(msg.Data(), &ev) != nil {
					return
				}
				from, key := at.Truncate(time.Minute), msg.Subject()[9:]
				if w := open[key]; w != nil && w.From.Before(from) {
					data, _ := json.Marshal(w)
					_, _ = js.PublishAsync("results.tea."+key, data)
					delete(open, key)
				}
				if open[key] == nil {
					open[key] = &streaming.Result[int]{Key: key, From: from}
				}
				open[key].Count++
				_ = msg.Ack()
			})
			require.NoError(b, err)
			<-done
			took := time.Since(start)
			c.Stop()
			<-c.Closed()
			return took
		},
		func(b *testing.B) time.Duration {
			js, done, stop := feed(b)
			defer stop()
			ctx, cancel := context.WithCancel(b.Context())
			p, err := streaming.NewProcessor(ctx, js, "tea", streaming.Flow[reading, int]{
				Add: func(n int, _ streaming.Event[reading]) (int, error) { return n + 1, nil },
			}, streaming.Config{})
			require.NoError(b, err)
			ended := make(chan error, 1)
			start := time.Now()
			go func() { ended <- p.Run(ctx) }()
			<-done
			took := time.Since(start)
			cancel()
			require.NoError(b, <-ended)
			return took
		})
}
