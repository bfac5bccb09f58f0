package sequence_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

// maxBatch is the server's limit of messages in an atomic batch.
const maxBatch = 1000

func TestMain(m *testing.M) { natstest.Main(m) }

// pages creates the input stream PAGES.
func pages(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PAGES", Subjects: []string{"pages.>"}, AllowAtomicPublish: true, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
}

// put publishes the pages of a book in the given order. The last page is n.
func put(t testing.TB, js jetstream.JetStream, id string, n uint64, numbers ...uint64) {
	t.Helper()
	for _, number := range numbers {
		m := &nats.Msg{Subject: "pages." + id, Data: fmt.Appendf(nil, "%s %d", id, number)}
		require.NoError(t, sequence.Stamp(m, sequence.Position{ID: id, Number: number, Last: number == n}))
		_, err := js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
	}
}

// ordered returns the output of the sequence id, or of all for "*".
func ordered(t testing.TB, js jetstream.JetStream, id string) (bodies []string, at []sequence.Position) {
	t.Helper()
	cons, err := js.OrderedConsumer(t.Context(), "SEQUENCE_book", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"sequence.book." + id}})
	require.NoError(t, err)
	batch, err := cons.Fetch(10_000, jetstream.FetchMaxWait(time.Second))
	require.NoError(t, err)
	for m := range batch.Messages() {
		p, err := sequence.At(m.Headers())
		require.NoError(t, err)
		bodies, at = append(bodies, string(m.Data())), append(at, p)
	}
	require.NoError(t, batch.Error())
	return bodies, at
}

// run runs a resequencer called book until stop is called, which returns the result of
// Run.
func run(t testing.TB, js jetstream.JetStream, cfg sequence.Config) (stop func() error) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Storage = jetstream.MemoryStorage
	r, err := sequence.NewResequencer(t.Context(), js, "PAGES", "book", cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func book(n int) (msgs []*nats.Msg) {
	for i := range n {
		msgs = append(msgs, &nats.Msg{Subject: "pages.a", Data: fmt.Appendf(nil, "a %d", i+1)})
	}
	return msgs
}

func stored(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	info, err := must(js.Stream(t.Context(), "PAGES")).Info(t.Context())
	require.NoError(t, err)
	return info.State.Msgs
}

func skip(sequence.Gap) sequence.Decision { return sequence.Skip }
