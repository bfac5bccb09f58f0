package eventstore_test

import (
	"context"
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

// plain stores one event with nats.go alone, under the same condition.
func plain(b *testing.B, js jetstream.JetStream, id string, n, seq uint64) uint64 {
	data, err := json.Marshal(moved{"dock", int(n)})
	require.NoError(b, err)
	m := &nats.Msg{Subject: "parcels.event." + id + "." + strconv.FormatUint(n, 10) + ".moved", Data: data, Header: nats.Header{
		"Event-Id": {"e-" + strconv.FormatUint(n, 10)},
	}}
	ack, err := js.PublishMsg(b.Context(), m, jetstream.WithExpectLastSequenceForSubject(seq, "parcels.event."+id+".>"))
	require.NoError(b, err)
	return ack.Sequence
}

func event(tb testing.TB, n uint64) eventstore.Event {
	e, err := eventstore.NewEvent("e-"+strconv.FormatUint(n, 10), "moved", moved{"dock", int(n)})
	require.NoError(tb, err)
	return e
}

// fill brings a store from one size to another, fast. Every entity has ten events,
// as far from each other as can be.
func fill(b *testing.B, js jetstream.JetStream, from, to int) {
	entities := (to - from) / 10
	for i := range to - from {
		n := i / entities
		_, err := js.PublishMsgAsync(&nats.Msg{
			Subject: fmt.Sprintf("parcels.event.p-%d.%d.moved", from/10+i%entities, n+1), Data: []byte(`{"to":"dock","by":1}`),
			Header: nats.Header{"Event-Id": {"e-" + strconv.Itoa(n)}},
		}, jetstream.WithStallWait(time.Second))
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
}

func BenchmarkLoad(b *testing.B) {
	if b.N > 1 {
		return
	}
	js, err := jetstream.New(natstest.Start(b).Connect("bench"), jetstream.WithPublishAsyncMaxPending(4096))
	require.NoError(b, err)
	store, err := eventstore.New(b.Context(), js, "parcels", eventstore.Config{})
	require.NoError(b, err)
	had := 0
	for _, size := range []int{1_000, 100_000, 1_000_000} {
		fill(b, js, had, size)
		had = size
		var took []time.Duration
		for range 501 {
			id, start, n := fmt.Sprintf("p-%d", rand.IntN(size/10)), time.Now(), 0
			for e, err := range store.Load(context.Background(), id, eventstore.Version{}) {
				require.NoError(b, err)
				require.NoError(b, e.Decode(&moved{}))
				n++
			}
			took = append(took, time.Since(start))
			require.Equal(b, 10, n)
		}
		p50 := ratio.Median(took)
		ratio.Report(b, "eventstore", fmt.Sprintf("load 10 of %d events, p50", size), p50.Round(time.Microsecond).String(), "< 5ms", p50 < 5*time.Millisecond)
	}
}
