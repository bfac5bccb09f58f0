package perkey_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/perkey"
)

const benched, benchKeys = 10_000, 100

// tally is a ledger that stores only versions.
type tally struct {
	mu   sync.Mutex
	last map[string]uint64
	any  bool // accepts any order
	left int
	done chan struct{}
}

func newTally(n int) *tally {
	return &tally{last: map[string]uint64{}, left: n, done: make(chan struct{})}
}

func (l *tally) Last(_ context.Context, key string) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last[key], nil
}

func (l *tally) Apply(_ context.Context, e perkey.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.any && e.Version != l.last[e.Key]+1 {
		return errRefused
	}
	l.last[e.Key] = e.Version
	if l.left--; l.left == 0 {
		close(l.done)
	}
	return nil
}

// filled publishes events of 100 bytes. The keys alternate.
func filled(b *testing.B, cfg perkey.Config) jetstream.JetStream {
	b.Helper()
	js := natstest.Start(b).JetStream("books")
	require.NoError(b, perkey.Provision(b.Context(), js, "bank", "books", cfg))
	for i := range benched {
		_, err := js.PublishMsgAsync(&nats.Msg{Subject: fmt.Sprint("perkey.bank.account-", i%benchKeys), Data: make([]byte, 100),
			Header: nats.Header{perkey.HeaderVersion: {fmt.Sprint(i/benchKeys + 1)}}})
		require.NoError(b, err)
		if i%2000 == 1999 {
			<-js.PublishAsyncComplete()
		}
	}
	return js
}

// 16 workers read, apply and acknowledge every event. The plain workers process events
// in the order of arrival, so their ledger accepts any order.
func BenchmarkDispatch(b *testing.B) {
	same, err := perkey.ConsumerConfig("bank", "plain", 0, quiet(perkey.Config{}))
	require.NoError(b, err)
	ratio.Bar{Pattern: "perkey", Metric: "16 workers by key, beside 16 plain ones", AtLeast: 0.8, Pairs: 11}.Compare(b,
		func(b *testing.B) time.Duration { return plain(b, same) }, dispatched)
}

// The cost of partitions and of pinned clients.
func BenchmarkPinned(b *testing.B) {
	free := jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 65_536}
	ratio.Bar{Pattern: "perkey", Metric: "16 workers by key, beside 16 without partitions", AtLeast: 0.65, Pairs: 11}.Compare(b,
		func(b *testing.B) time.Duration { return plain(b, free) }, dispatched)
}

func dispatched(b *testing.B) time.Duration {
	cfg := quiet(perkey.Config{})
	js, l := filled(b, cfg), newTally(benched)
	start := time.Now()
	stop := run(b, js, l, cfg)
	<-l.done
	took := time.Since(start)
	require.NoError(b, stop())
	return took
}

func plain(b *testing.B, cfg jetstream.ConsumerConfig) time.Duration {
	js, l := filled(b, quiet(perkey.Config{})), newTally(benched)
	l.any = true
	start := time.Now()
	c := must(js.CreateConsumer(b.Context(), "PERKEY_bank", cfg))
	msgs := make(chan jetstream.Msg)
	var workers sync.WaitGroup
	for range 16 {
		workers.Go(func() {
			for m := range msgs {
				version, _ := strconv.ParseUint(m.Headers().Get(perkey.HeaderVersion), 10, 64)
				if l.Apply(b.Context(), perkey.Event{Key: m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:], Version: version}) == nil {
					_ = m.Ack()
				}
			}
		})
	}
	opts := []jetstream.PullConsumeOpt{jetstream.PullMaxMessages(500)}
	if len(cfg.PriorityGroups) > 0 {
		opts = append(opts, jetstream.PullPriorityGroup(cfg.PriorityGroups[0]))
	}
	consuming, err := c.Consume(func(m jetstream.Msg) { msgs <- m }, opts...)
	require.NoError(b, err)
	<-l.done
	took := time.Since(start)
	consuming.Stop()
	<-consuming.Closed()
	close(msgs)
	workers.Wait()
	return took
}
