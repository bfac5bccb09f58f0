package sequence_test

import (
	"bytes"
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

// Run returns an error when it cannot continue, and when it is called again.
func TestRunEnds(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, js jetstream.JetStream, own *nats.Conn){
		"the consumer is deleted": func(t *testing.T, js jetstream.JetStream, _ *nats.Conn) {
			require.NoError(t, js.DeleteConsumer(t.Context(), "PAGES", "sequence-book"))
		},
		"the input stream is deleted": func(t *testing.T, js jetstream.JetStream, _ *nats.Conn) {
			require.NoError(t, js.DeleteStream(t.Context(), "PAGES"))
		},
		"the connection is closed": func(_ *testing.T, _ jetstream.JetStream, own *nats.Conn) { own.Close() },
		"the output stream is deleted": func(t *testing.T, js jetstream.JetStream, _ *nats.Conn) {
			require.NoError(t, js.DeleteStream(t.Context(), "SEQUENCE_book"))
			put(t, js, "a", 1, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, own := s.JetStream("sender"), s.Connect("reseq")
				pages(t, js)
				r, err := sequence.NewResequencer(t.Context(), must(jetstream.New(own)), "PAGES", "book", sequence.Config{Storage: jetstream.MemoryStorage})
				require.NoError(t, err)
				done := make(chan error, 1)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				go func() { done <- r.Run(ctx) }()
				time.Sleep(time.Second)
				act(t, js, own)
				require.Error(t, <-done)
				require.NoError(t, ctx.Err(), "in time")
				require.ErrorIs(t, r.Run(ctx), sequence.ErrAlreadyRun)
			})
		})
	}
}

// A disconnected resequencer stops without waiting for the server.
func TestStopDisconnected(t *testing.T) {
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

// Run also notices later that it cannot continue.
func TestRunEndsLater(t *testing.T) {
	for name, act := range map[string]func(t *testing.T, s *natstest.Server, js jetstream.JetStream){
		"the output stream is deleted": func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
			require.NoError(t, js.DeleteStream(t.Context(), "SEQUENCE_book"))
			put(t, js, "a", 0, 2)
		},
		"the output stream refuses the message": func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
			output := must(sequence.StreamConfig("book", sequence.Config{Storage: jetstream.MemoryStorage}))
			output.MaxMsgSize = 1
			require.NotNil(t, must(js.UpdateStream(t.Context(), output)))
			put(t, js, "a", 0, 2)
		},
		"a copy exceeds max_payload": func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
			m := &nats.Msg{Subject: "pages.a"}
			require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: 2}))
			m.Header.Del(jetstream.MsgIDHeader)
			m.Data = make([]byte, int(js.Conn().MaxPayload())-(m.Size()-len(m.Subject)))
			must(js.PublishMsg(t.Context(), m))
		},
		"the consumer is deleted during a disconnect": func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
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
				r, err := sequence.NewResequencer(t.Context(), s.JetStream("reseq"), "PAGES", "book", sequence.Config{Storage: jetstream.MemoryStorage, Log: slog.New(slog.DiscardHandler)})
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

// A resequencer that stops finishes the publish in progress within Grace.
func TestGrace(t *testing.T) {
	for name, c := range map[string]struct {
		delay, stopAt, want time.Duration
		maxBytes            int64
		published           int
	}{
		"a publish in progress finishes":    {delay: 200 * time.Millisecond, stopAt: 300 * time.Millisecond, want: 200 * time.Millisecond, published: 1},
		"an output that is full ends Grace": {stopAt: time.Second, want: 3 * time.Second, maxBytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("sender")
				pages(t, js)
				var log bytes.Buffer
				stop := run(t, s.JetStream("one"), sequence.Config{Grace: 3 * time.Second, MaxBytes: c.maxBytes})
				time.Sleep(time.Second)
				s.Link("one").Delay(c.delay)
				put(t, js, "a", 1, 1)
				time.Sleep(c.stopAt)
				start := time.Now()
				require.NoError(t, stop())
				require.InDelta(t, c.want, time.Since(start), float64(150*time.Millisecond))
				got, _ := ordered(t, js, "a")
				require.Len(t, got, c.published)
				must(js.UpdateStream(t.Context(), must(sequence.StreamConfig("book", sequence.Config{Storage: jetstream.MemoryStorage}))))
				stop = run(t, s.JetStream("two"), sequence.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
				time.Sleep(time.Second)
				got, _ = ordered(t, js, "a")
				require.Len(t, got, 1, "at once")
				require.NoError(t, stop())
				require.NotContains(t, log.String(), "duplicate", "the message was acknowledged")
			})
		})
	}
}

// A resequencer that holds many sequences stops between two of them.
func TestStopManySequences(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		for n := range 50 {
			put(t, js, fmt.Sprint("book-", n), 0, 2)
		}
		time.Sleep(time.Second)
		s.Link("reseq").Delay(50 * time.Millisecond)
		time.Sleep(time.Second) // it reads the positions of all 50
		start := time.Now()
		require.NoError(t, stop())
		require.Less(t, time.Since(start), time.Second)
	})
}
