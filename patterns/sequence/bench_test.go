package sequence_test

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/sequence"
)

const benched = 2000

// library fills PAGES with ten books. If shuffled, each page is two places late or early.
func library(b *testing.B, shuffled bool) jetstream.JetStream {
	s := natstest.Start(b)
	js := s.JetStream("sender")
	pages(b, js)
	for i := range uint64(benched) {
		n := i / 10
		if shuffled {
			n ^= 3
		}
		m := &nats.Msg{Subject: "pages.a", Data: make([]byte, 128)}
		require.NoError(b, sequence.Stamp(m, sequence.Position{ID: "book-" + strconv.FormatUint(i%10, 10), Number: n + 1}))
		_, err := js.PublishMsgAsync(m)
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	return js
}

// until waits until all pages are in the output stream.
func until(b *testing.B, js jetstream.JetStream, start time.Time) time.Duration {
	for ; ; time.Sleep(time.Millisecond) { // lint:bubble what is measured is real time
		info, err := must(js.Stream(b.Context(), "SEQUENCE_book")).Info(b.Context())
		require.NoError(b, err)
		if info.State.Msgs >= benched {
			return time.Since(start)
		}
		require.Less(b, time.Since(start), time.Minute)
	}
}

func ours(shuffled bool) func(*testing.B) time.Duration {
	return func(b *testing.B) time.Duration {
		js := library(b, shuffled)
		start := time.Now()
		stop := run(b, js, sequence.Config{Buffer: 1000, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		took := until(b, js, start)
		require.NoError(b, stop())
		return took
	}
}

// plain copies messages that are in order, with the same conditional publish.
func plain(b *testing.B) time.Duration {
	js := library(b, false)
	start := time.Now()
	cfg := sequence.Config{Storage: jetstream.MemoryStorage}
	must(js.CreateStream(b.Context(), must(sequence.StreamConfig("book", cfg))))
	cons := must(js.CreateConsumer(b.Context(), "PAGES", must(sequence.ConsumerConfig("book", cfg))))
	last := map[string]uint64{}
	c, err := cons.Consume(func(m jetstream.Msg) {
		id := m.Headers().Get(sequence.HeaderID)
		out := &nats.Msg{Subject: "sequence.book." + id, Header: nats.Header{}, Data: m.Data()}
		for _, name := range []string{sequence.HeaderID, sequence.HeaderNumber} {
			out.Header.Set(name, m.Headers().Get(name))
		}
		ctx, cancel := context.WithTimeout(b.Context(), 2*time.Second)
		defer cancel()
		ack, err := js.PublishMsg(ctx, out, jetstream.WithExpectLastSequencePerSubject(last[id]))
		if err == nil {
			last[id], err = ack.Sequence, m.Ack()
		}
		if err != nil {
			b.Error(err)
		}
	}, jetstream.PullMaxMessages(1000))
	require.NoError(b, err)
	took := until(b, js, start)
	c.Stop()
	<-c.Closed()
	return took
}

func BenchmarkInOrder(b *testing.B) {
	ratio.Bar{Pattern: "sequence", Metric: "messages in order, beside a plain copy", AtLeast: 0.9, Pairs: 31}.Compare(b, plain, ours(false))
}

func BenchmarkShuffled(b *testing.B) {
	ratio.Bar{Pattern: "sequence", Metric: "messages shuffled, beside a plain copy in order", AtLeast: 0.8}.Compare(b, plain, ours(true))
}
