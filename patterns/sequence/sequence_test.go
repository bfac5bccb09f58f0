package sequence_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// pages makes the stream PAGES, from which a resequencer reads.
func pages(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PAGES", Subjects: []string{"pages.>"}, AllowAtomicPublish: true, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
}

// put stores the pages of a book in the order given; the last of all is page n.
func put(t testing.TB, js jetstream.JetStream, id string, n uint64, numbers ...uint64) {
	t.Helper()
	for _, number := range numbers {
		m := &nats.Msg{Subject: "pages." + id, Data: fmt.Appendf(nil, "%s %d", id, number)}
		require.NoError(t, sequence.Stamp(m, sequence.Position{ID: id, Number: number, Last: number == n}))
		_, err := js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
	}
}

// ordered returns what has gone out of the sequence id, or of all for "*".
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

// run has a resequencer called book run until stop is called, which returns what Run
// does.
func run(t testing.TB, js jetstream.JetStream, cfg sequence.Config) (stop func() error) {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Storage = jetstream.MemoryStorage
	r, err := sequence.New(t.Context(), js, "PAGES", "book", cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

func TestOrder(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		put(t, js, "a", 5, 3, 1)
		put(t, js, "b", 3, 2)
		put(t, js, "a", 5, 5, 4, 2)
		put(t, js, "b", 3, 3, 1)
		time.Sleep(time.Second)
		for id, n := range map[string]int{"a": 5, "b": 3} {
			bodies, at := ordered(t, js, id)
			require.Len(t, bodies, n)
			for i, p := range at {
				require.Equal(t, sequence.Position{ID: id, Number: uint64(i) + 1, Last: i == n-1}, p)
				require.Equal(t, fmt.Sprintf("%s %d", id, i+1), bodies[i])
			}
		}
		require.NoError(t, stop())
	})
}

// A page that came twice goes out once, before the others and after.
func TestRepeats(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		for _, number := range []uint64{2, 2, 1, 1, 2, 3, 1} {
			m := nats.NewMsg("pages.a")
			require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: number}))
			m.Header.Del(jetstream.MsgIDHeader) // else the stream would not take it again
			_, err := js.PublishMsg(t.Context(), m)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		bodies, _ := ordered(t, js, "a")
		require.Len(t, bodies, 3)
		info, err := must(js.Consumer(t.Context(), "PAGES", "sequence-book")).Info(t.Context())
		require.NoError(t, err)
		require.Zero(t, info.NumAckPending+int(info.NumPending), "all is acknowledged")
		require.NoError(t, stop())
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What one run held, the next one sends out; what it sent, the next does not send.
func TestResume(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("one"), sequence.Config{})
		put(t, js, "a", 6, 1, 2, 4, 6)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		put(t, js, "a", 6, 5)
		start := time.Now()
		stop = run(t, s.JetStream("two"), sequence.Config{})
		put(t, js, "a", 6, 3)
		time.Sleep(time.Second)
		bodies, _ := ordered(t, js, "a")
		require.Equal(t, "a 1,a 2,a 3,a 4,a 5,a 6", strings.Join(bodies, ","))
		require.Less(t, time.Since(start), 10*time.Second, "it was handed back, and not waited for")
		require.NoError(t, stop())
	})
}

// What was fetched ahead is handed back as well, at once.
func TestHandsBack(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		require.NoError(t, sequence.Send(t.Context(), js, "a", book(40)...))
		s.Link("one").Delay(50 * time.Millisecond)
		stop := run(t, s.JetStream("one"), sequence.Config{})
		time.Sleep(time.Second)
		require.NoError(t, stop())
		stop = run(t, s.JetStream("two"), sequence.Config{})
		time.Sleep(10 * time.Second)
		bodies, _ := ordered(t, js, "a")
		require.Len(t, bodies, 40)
		require.NoError(t, stop())
	})
}

// Two resequencers of one name keep the order, though each holds what the other
// waits for, and neither skips that.
func TestTwo(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		one := run(t, s.JetStream("one"), sequence.Config{Missing: skip})
		time.Sleep(time.Millisecond)
		two := run(t, s.JetStream("two"), sequence.Config{Missing: skip})
		var numbers []uint64
		for i := range uint64(40) {
			numbers = append(numbers, i^3+1)
		}
		put(t, js, "a", 40, numbers...)
		time.Sleep(3 * time.Minute)
		bodies, at := ordered(t, js, "a")
		require.Len(t, bodies, 40)
		for i, p := range at {
			require.EqualValues(t, i+1, p.Number)
		}
		require.NoError(t, one())
		require.NoError(t, two())
	})
}
