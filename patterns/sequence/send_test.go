package sequence_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

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

func TestSend(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		for range 2 { // the second time, nothing is stored
			require.NoError(t, sequence.Send(ctx, js, "a", book(sequence.Most)...))
			require.NoError(t, sequence.Send(ctx, js, "b", book(1)...))
		}
		require.EqualValues(t, sequence.Most+1, stored(t, js))
		time.Sleep(time.Second)
		_, at := ordered(t, js, "*")
		require.Equal(t, sequence.Position{ID: "a", Number: 1}, at[0])
		require.Contains(t, at, sequence.Position{ID: "a", Number: sequence.Most, Last: true})
		require.Contains(t, at, sequence.Position{ID: "b", Number: 1, Last: true})
		require.NoError(t, stop())
	})
}

// A sender that dies in the middle leaves nothing behind; one that sends page by page
// leaves half a book.
func TestAllOrNone(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		msgs := book(10)
		msgs[6].Subject = "elsewhere" // of no stream, so that page 7 is not stored
		require.Error(t, sequence.Send(ctx, js, "a", msgs...))
		time.Sleep(time.Minute)
		require.Zero(t, stored(t, js))
		for i, m := range book(10) {
			require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "b", Number: uint64(i) + 1}))
			m.Subject = msgs[i].Subject
			if _, err := js.PublishMsg(ctx, m); err != nil {
				break
			}
		}
		require.EqualValues(t, 6, stored(t, js), "six pages of ten")
	})
}

func TestBadInput(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		for _, id := range []string{"", "a.b", "*", ">", "a\x00", strings.Repeat("x", 65)} {
			require.ErrorIs(t, sequence.Stamp(&nats.Msg{}, sequence.Position{ID: id, Number: 1}), sequence.ErrID, "%.20q", id)
			require.ErrorIs(t, sequence.Send(ctx, js, id, book(2)...), sequence.ErrID, "%.20q", id)
			_, err := sequence.New(ctx, js, "PAGES", id, sequence.Config{})
			require.ErrorIs(t, err, sequence.ErrID, "%.20q", id)
		}
		require.ErrorIs(t, sequence.Stamp(&nats.Msg{}, sequence.Position{ID: "a"}), sequence.ErrPosition)
		for _, h := range []nats.Header{nil, {sequence.HeaderID: {"a"}}, {sequence.HeaderID: {"a"}, sequence.HeaderNumber: {"0"}}, {sequence.HeaderID: {"a"}, sequence.HeaderNumber: {"-1"}}, {sequence.HeaderID: {"a.b"}, sequence.HeaderNumber: {"1"}}} {
			_, err := sequence.At(h)
			require.ErrorIs(t, err, sequence.ErrPosition, "%v", h)
		}
		require.ErrorIs(t, sequence.Send(ctx, js, "a"), sequence.ErrPosition)
		require.ErrorIs(t, sequence.Send(ctx, js, "a", nil), sequence.ErrPosition)
		require.ErrorIs(t, sequence.Send(ctx, js, "a", book(sequence.Most+1)...), sequence.ErrPosition)
		large := book(2)
		large[1].Data = make([]byte, 2<<20)
		require.ErrorIs(t, sequence.Send(ctx, js, "a", large...), nats.ErrMaxPayload)
		require.Zero(t, stored(t, js))
		ended, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, sequence.Send(ended, js, "a", book(2)...), context.Canceled)
		_, err := sequence.New(ended, js, "PAGES", "book", sequence.Config{})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, sequence.Send(ctx, js, "a", &nats.Msg{Subject: "nobody.there"}), nats.ErrNoResponders)
		for field, cfg := range map[string]sequence.Config{"Room": {Room: -1}, "Patience": {Patience: time.Millisecond}, "Replicas": {Replicas: 9}} {
			_, err := sequence.New(ctx, js, "PAGES", "book", cfg)
			require.ErrorIs(t, err, sequence.ErrConfig)
			require.ErrorContains(t, err, field)
		}
		_, err = sequence.New(ctx, js, "NONE", "book", sequence.Config{})
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		_, err = sequence.New(ctx, js, "PAGES", "book", sequence.Config{Bind: true})
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
		_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "SEQUENCE_queue", Subjects: []string{"sequence.queue.*"}, Retention: jetstream.WorkQueuePolicy})
		require.NoError(t, err)
		_, err = sequence.New(ctx, js, "PAGES", "queue", sequence.Config{})
		require.ErrorIs(t, err, sequence.ErrMismatch)
		require.ErrorContains(t, err, "Retention", "it forgets how far a sequence has come")
		require.NoError(t, sequence.Provision(ctx, js, "PAGES", "book", sequence.Config{Subjects: []string{"pages.a"}}))
		_, err = sequence.New(ctx, js, "PAGES", "book", sequence.Config{Bind: true})
		require.ErrorIs(t, err, sequence.ErrMismatch)
		require.ErrorContains(t, err, "FilterSubjects")
		require.NoError(t, sequence.Provision(ctx, js, "PAGES", "book", sequence.Config{}))
		_, err = sequence.New(ctx, js, "PAGES", "book", sequence.Config{Bind: true})
		require.NoError(t, err)
	})
}

// What says no position is refused, told, and does not stop the others; a number of
// any size is held like any other.
func TestRefused(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		operator := s.Connect("operator")
		ended, err := operator.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.PAGES.>")
		require.NoError(t, err)
		require.NoError(t, operator.Flush())
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		_, err = js.Publish(ctx, "pages.a", []byte("no headers"))
		require.NoError(t, err)
		put(t, js, "a", 0, math.MaxInt64, 1)
		time.Sleep(time.Second)
		got, _ := ordered(t, js, "a")
		require.Equal(t, []string{"a 1"}, got)
		told, err := ended.NextMsg(time.Second)
		require.NoError(t, err)
		require.Contains(t, string(told.Data), "bad position")
		require.NoError(t, stop())
	})
}

// Run ends with an error when it cannot go on, and says so when called again.
func TestEnds(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, js jetstream.JetStream, own *nats.Conn){
		"its consumer is deleted": func(t *testing.T, js jetstream.JetStream, _ *nats.Conn) {
			require.NoError(t, js.DeleteConsumer(t.Context(), "PAGES", "sequence-book"))
		},
		"its stream is deleted": func(t *testing.T, js jetstream.JetStream, _ *nats.Conn) {
			require.NoError(t, js.DeleteStream(t.Context(), "PAGES"))
		},
		"its connection is closed": func(_ *testing.T, _ jetstream.JetStream, own *nats.Conn) { own.Close() },
		"what is in order has no stream": func(t *testing.T, js jetstream.JetStream, _ *nats.Conn) {
			require.NoError(t, js.DeleteStream(t.Context(), "SEQUENCE_book"))
			put(t, js, "a", 1, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, own := s.JetStream("sender"), s.Connect("reseq")
				pages(t, js)
				r, err := sequence.New(t.Context(), must(jetstream.New(own)), "PAGES", "book", sequence.Config{Storage: jetstream.MemoryStorage})
				require.NoError(t, err)
				done := make(chan error, 1)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				go func() { done <- r.Run(ctx) }()
				time.Sleep(time.Second)
				act(t, js, own)
				require.Error(t, <-done)
				require.NoError(t, ctx.Err(), "in time")
				require.ErrorIs(t, r.Run(ctx), sequence.ErrTwice)
			})
		})
	}
}

// Told to stop while it is cut off, it does not wait for the server.
func TestStopCutOff(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		put(t, js, "a", 3, 1, 3)
		time.Sleep(time.Second)
		s.Link("reseq").Down()
		time.Sleep(time.Second)
		start := time.Now()
		require.NoError(t, stop())
		require.Less(t, time.Since(start), 2*time.Second)
	})
}
