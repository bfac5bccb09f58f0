package eventstore_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

type moved struct {
	To string `json:"to"`
	By int    `json:"by"`
}

// yard is a store of parcels to measure.
type yard struct {
	js    jetstream.JetStream
	store *eventstore.Store
	n     int // parcels so far
}

func newYard(b *testing.B, nc *nats.Conn, cfg eventstore.Config) *yard {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4096))
	require.NoError(b, err)
	store, err := eventstore.New(b.Context(), js, "parcels", cfg)
	require.NoError(b, err)
	return &yard{js: js, store: store}
}

// plain stores ten events each of so many parcels, one by one and each on condition
// of the one before, with nats.go alone.
func (y *yard) plain(b *testing.B, parcels int) time.Duration {
	start := time.Now()
	for range parcels {
		y.n++
		prefix, last := fmt.Sprintf("parcels.event.p-%d.", y.n), uint64(0)
		for n := range 10 {
			data, err := json.Marshal(moved{"dock", n})
			if err != nil {
				b.Fatal(err)
			}
			m := &nats.Msg{Subject: prefix + strconv.Itoa(n+1) + ".moved", Data: data, Header: nats.Header{"Event-Id": {"e-" + strconv.Itoa(n)}}}
			ack, err := y.js.PublishMsg(b.Context(), m, jetstream.WithExpectLastSequenceForSubject(last, prefix+">"))
			if err != nil {
				b.Fatal(err)
			}
			last = ack.Sequence
		}
	}
	return time.Since(start)
}

// ours stores as many events, by size at once.
func (y *yard) ours(b *testing.B, events, entity, size int) time.Duration {
	start := time.Now()
	for range events / entity {
		y.n++
		var v eventstore.Version
		for range entity / size {
			batch := make([]eventstore.Event, size)
			for i := range batch {
				var err error
				if batch[i], err = eventstore.NewEvent("e-"+strconv.Itoa(i), "moved", moved{"dock", i}); err != nil {
					b.Fatal(err)
				}
			}
			var err error
			if v, err = y.store.Append(b.Context(), fmt.Sprint("p-", y.n), v, batch...); err != nil {
				b.Fatal(err)
			}
		}
	}
	return time.Since(start)
}

// overTCP connects to a server as it is done in life.
func overTCP(b *testing.B) *nats.Conn {
	nc, err := nats.Connect(natstest.Listen(b).ClientURL())
	require.NoError(b, err)
	b.Cleanup(nc.Close)
	return nc
}

func BenchmarkAppend(b *testing.B) {
	y := newYard(b, overTCP(b), eventstore.Config{})
	ratio.Bar{Pattern: "eventstore", Metric: "append beside plain conditional publish", AtLeast: 0.9, Pairs: 15}.Compare(b,
		func(b *testing.B) time.Duration { return y.plain(b, 300) },
		func(b *testing.B) time.Duration { return y.ours(b, 3000, 10, 1) })
}

// A hundred events in one batch, per event, beside as many appended one by one.
func BenchmarkBatch(b *testing.B) {
	b.Run("memory", func(b *testing.B) {
		batches(b, overTCP(b), eventstore.Config{Storage: jetstream.MemoryStorage}, "memory", 4, 5000)
	})
	b.Run("R3", func(b *testing.B) {
		batches(b, natstest.NewCluster(b).Connect("bench"), eventstore.Config{Replicas: 3}, "R3", 8, 1000)
	})
	b.Run("file", func(b *testing.B) { // atomicity is bought here, not speed
		batches(b, overTCP(b), eventstore.Config{}, "R1 file", 0.1, 2000)
	})
}

func batches(b *testing.B, nc *nats.Conn, cfg eventstore.Config, where string, bar float64, events int) {
	y := newYard(b, nc, cfg)
	ratio.Bar{Pattern: "eventstore", Metric: "batch of 100 beside single appends, " + where, AtLeast: bar}.Compare(b,
		func(b *testing.B) time.Duration { return y.ours(b, events, 10, 1) },
		func(b *testing.B) time.Duration { return y.ours(b, events, 100, 100) })
}

// fill brings a store from one size to another, fast. Every entity has ten events,
// as far from each other as can be.
func (y *yard) fill(b *testing.B, from, to int) {
	entities := (to - from) / 10
	for i := range to - from {
		n := i / entities
		_, err := y.js.PublishMsgAsync(&nats.Msg{
			Subject: fmt.Sprintf("parcels.event.p-%d.%d.moved", from/10+i%entities, n+1), Data: []byte(`{"to":"dock","by":1}`),
			Header: nats.Header{"Event-Id": {"e-" + strconv.Itoa(n)}},
		}, jetstream.WithStallWait(5*time.Second))
		require.NoError(b, err)
	}
	<-y.js.PublishAsyncComplete()
}

func BenchmarkLoad(b *testing.B) {
	if b.N > 1 {
		return
	}
	y, had := newYard(b, natstest.Start(b).Connect("bench"), eventstore.Config{}), 0
	for _, size := range []int{1_000, 100_000, 1_000_000} {
		y.fill(b, had, size)
		had = size
		var took []time.Duration
		for range 501 {
			id, n, start := fmt.Sprint("p-", rand.IntN(size/10)), 0, time.Now()
			for e, err := range y.store.Load(b.Context(), id, eventstore.Version{}) {
				require.NoError(b, err)
				require.NoError(b, e.Decode(&moved{}))
				n++
			}
			took = append(took, time.Since(start))
			require.Equal(b, 10, n)
		}
		p50 := ratio.Median(took)
		ratio.Report(b, "eventstore", fmt.Sprintf("load 10 events, of %d in store, p50", size),
			p50.Round(time.Microsecond).String(), "< 5ms", p50 < 5*time.Millisecond)
	}
}

// A history of more than 1,024 events is spread over the stream, and loaded by a scan.
func BenchmarkLoadLong(b *testing.B) {
	if b.N > 1 {
		return
	}
	y := newYard(b, natstest.Start(b).Connect("bench"), eventstore.Config{})
	const size, every = 1_000_000, 500
	for i := range size {
		subject := fmt.Sprintf("parcels.event.p-%d.%d.moved", i%100_000, i/100_000+1)
		if i%every == 0 {
			subject = fmt.Sprintf("parcels.event.long.%d.moved", i/every+1)
		}
		_, err := y.js.PublishMsgAsync(&nats.Msg{Subject: subject, Header: nats.Header{"Event-Id": {"e"}}}, jetstream.WithStallWait(5*time.Second))
		require.NoError(b, err)
	}
	<-y.js.PublishAsyncComplete()
	var took []time.Duration
	for range 7 {
		n, start := 0, time.Now()
		for _, err := range y.store.Load(b.Context(), "long", eventstore.Version{}) {
			require.NoError(b, err)
			n++
		}
		require.Equal(b, size/every, n)
		took = append(took, time.Since(start)*256/size*every)
	}
	p50 := ratio.Median(took)
	ratio.Report(b, "eventstore", "load 256 of 2000 events, of 1000000 in store, p50", p50.Round(time.Microsecond).String(), "< 100ms", p50 < 100*time.Millisecond)
}

// The condition of an append costs the server a look at each event of the entity.
func BenchmarkLongHistory(b *testing.B) {
	if b.N > 1 {
		return
	}
	y := newYard(b, overTCP(b), eventstore.Config{})
	var v eventstore.Version
	for _, size := range []uint64{10, 10_000} {
		for n := 1; v.N < size; n = min(1000, int(size-v.N)) {
			batch := make([]eventstore.Event, n)
			for i := range batch {
				batch[i] = eventstore.Event{ID: "e", Type: "moved"}
			}
			var err error
			v, err = y.store.Append(b.Context(), "long", v, batch...)
			require.NoError(b, err)
		}
		var took []time.Duration
		for range 101 {
			start := time.Now()
			var err error
			v, err = y.store.Append(b.Context(), "long", v, eventstore.Event{ID: "one", Type: "moved"})
			require.NoError(b, err)
			took = append(took, time.Since(start))
		}
		p50 := ratio.Median(took)
		ratio.Report(b, "eventstore", fmt.Sprintf("append to an entity of %d events, p50", size),
			p50.Round(time.Microsecond).String(), "< 5ms", p50 < 5*time.Millisecond)
	}
}
