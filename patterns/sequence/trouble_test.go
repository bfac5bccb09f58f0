package sequence_test

import (
	"bytes"
	"context"
	"log/slog"
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

func skip(sequence.Gap) sequence.Decision { return sequence.Skip }

// An outage of minutes does not end Run, whatever it was about to do.
func TestOutage(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		put(t, js, "a", 3, 1, 3) // page 2 is waited for
		time.Sleep(time.Second)
		s.Link("reseq").Down()
		put(t, js, "a", 3, 2)
		put(t, js, "b", 2, 1)
		time.Sleep(5 * time.Minute)
		s.Link("reseq").Up()
		time.Sleep(time.Minute)
		put(t, js, "b", 2, 2)
		time.Sleep(time.Minute)
		got, _ := ordered(t, js, "*")
		require.ElementsMatch(t, []string{"a 1", "a 2", "a 3", "b 1", "b 2"}, got)
		require.NoError(t, stop())
	})
}

// What another resequencer of the name sends out begins the wait anew, as it is
// another page that is missing then.
func TestAnotherSends(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{Missing: skip})
		put(t, js, "a", 9, 3, 7)
		time.Sleep(4900 * time.Millisecond)
		for n := range uint64(2) { // in the name of the other
			m := &nats.Msg{Subject: "sequence.book.a", Data: []byte("a " + string(rune('1'+n)))}
			require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: n + 1}))
			_, err := js.PublishMsg(t.Context(), m)
			require.NoError(t, err)
		}
		time.Sleep(2 * time.Second)
		put(t, js, "a", 9, 4, 5, 6)
		time.Sleep(time.Second)
		got, _ := ordered(t, js, "a")
		require.Equal(t, "a 1,a 2,a 3,a 4,a 5,a 6,a 7", strings.Join(got, ","))
		require.NoError(t, stop())
	})
}

// However many come while there is no room, a gap is decided on when Patience is over.
func TestFullAndOverdue(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		start, over := time.Now(), time.Duration(0)
		stop := run(t, s.JetStream("reseq"), sequence.Config{Room: 4, Missing: func(g sequence.Gap) sequence.Decision {
			if g.Full {
				return sequence.Wait
			}
			over = time.Since(start)
			return sequence.Skip
		}})
		for n := range uint64(30) {
			put(t, js, "a", 0, n+2) // page 1 never comes
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		got, _ := ordered(t, js, "a")
		require.Len(t, got, 30, "what found no room came again before its own time was over")
		require.NoError(t, stop())
		require.LessOrEqual(t, over, 7*time.Second)
	})
}

// What comes after it was skipped is logged, by a resequencer that was not there too.
func TestSkippedIsLogged(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("one"), sequence.Config{Missing: skip})
		put(t, js, "a", 3, 2)
		time.Sleep(10 * time.Second)
		require.NoError(t, stop())
		var log bytes.Buffer
		stop = run(t, s.JetStream("two"), sequence.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		put(t, js, "a", 3, 1)
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Contains(t, log.String(), "too late")
	})
}

// A killed resequencer's messages come again after 30s. Who skips sooner loses them,
// and who waits that long does not.
func TestKilledAndSkipped(t *testing.T) {
	for _, tc := range []struct {
		name    string
		missing func(sequence.Gap) sequence.Decision
		want    string
	}{
		{"skipping sooner than 30s passes over what the killed one held", skip, "a 1,a 2,a 4"},
		{"skipping later does not", func(g sequence.Gap) sequence.Decision {
			if g.Waited < 35*time.Second {
				return sequence.Wait
			}
			return sequence.Skip
		}, "a 1,a 2,a 3,a 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("sender")
				pages(t, js)
				killed := run(t, s.JetStream("one"), sequence.Config{})
				put(t, js, "a", 4, 1, 3)
				time.Sleep(time.Second)
				s.Link("one").Down()
				require.NoError(t, killed()) // without a word
				stop := run(t, s.JetStream("two"), sequence.Config{Missing: tc.missing})
				put(t, js, "a", 4, 2, 4)
				time.Sleep(2 * time.Minute)
				got, _ := ordered(t, js, "a")
				require.Equal(t, tc.want, strings.Join(got, ","))
				require.NoError(t, stop())
			})
		})
	}
}

// There is always a number after, so that the first cannot come round again.
func TestGreatest(t *testing.T) {
	m := &nats.Msg{}
	require.ErrorIs(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: math.MaxUint64}), sequence.ErrPosition)
	_, err := sequence.At(nats.Header{sequence.HeaderID: {"a"}, sequence.HeaderNumber: {"18446744073709551615"}})
	require.ErrorIs(t, err, sequence.ErrPosition)
	require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: math.MaxInt64}))
	p, err := sequence.At(m.Header)
	require.NoError(t, err)
	require.EqualValues(t, math.MaxInt64, p.Number)
}

// Send leaves the messages as they are: sent as part of a longer sequence next, none
// ends it early; one message may be in it twice.
func TestSendAgainLonger(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		msgs := book(4)
		require.NoError(t, sequence.Send(ctx, js, "a", msgs[:2]...))
		require.NoError(t, sequence.Send(ctx, js, "b", msgs...))
		require.EqualValues(t, 6, stored(t, js))
		require.NoError(t, sequence.Send(ctx, js, "c", msgs[1]), "alone")
		require.NoError(t, sequence.Send(ctx, js, "d", msgs[0], msgs[0]))
		require.EqualValues(t, 9, stored(t, js))
		require.Empty(t, msgs[0].Header)
	})
}

// Gone while nobody was listening is gone.
func TestEndsLater(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, s *natstest.Server, js jetstream.JetStream){
		"what is in order has no stream any more": func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
			require.NoError(t, js.DeleteStream(t.Context(), "SEQUENCE_book"))
			put(t, js, "a", 0, 2)
		},
		"what is in order has a stream that refuses it": func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
			ordered, _, err := sequence.Setup("book", sequence.Config{Storage: jetstream.MemoryStorage})
			require.NoError(t, err)
			ordered.MaxMsgSize = 1
			require.NotNil(t, must(js.UpdateStream(t.Context(), ordered)))
			put(t, js, "a", 0, 2)
		},
		"its consumer is deleted while it is cut off": func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			s.Link("reseq").Down()
			time.Sleep(time.Minute)
			require.NoError(t, js.DeleteConsumer(t.Context(), "PAGES", "sequence-book"))
			s.Link("reseq").Up()
		},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("sender")
				pages(t, js)
				r, err := sequence.New(t.Context(), s.JetStream("reseq"), "PAGES", "book", sequence.Config{Storage: jetstream.MemoryStorage, Log: slog.New(slog.DiscardHandler)})
				require.NoError(t, err)
				done := make(chan error, 1)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				go func() { done <- r.Run(ctx) }()
				put(t, js, "a", 0, 1)
				time.Sleep(time.Second)
				act(t, s, js)
				require.Error(t, <-done)
				require.NoError(t, ctx.Err(), "in time")
			})
		})
	}
}
