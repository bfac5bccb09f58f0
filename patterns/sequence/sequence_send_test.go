package sequence_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

func TestSend(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		for range 2 { // a retry stores nothing
			require.NoError(t, sequence.Send(ctx, js, "a", book(maxBatch)...))
			require.NoError(t, sequence.Send(ctx, js, "b", book(1)...))
		}
		require.EqualValues(t, maxBatch+1, stored(t, js))
		time.Sleep(time.Second)
		_, at := ordered(t, js, "*")
		require.Equal(t, sequence.Position{ID: "a", Number: 1}, at[0])
		require.Contains(t, at, sequence.Position{ID: "a", Number: maxBatch, Last: true})
		require.Contains(t, at, sequence.Position{ID: "b", Number: 1, Last: true})
		require.NoError(t, stop())
	})
}

// If a Send fails in the middle, nothing is stored. A sender that publishes page by page
// leaves half a book.
func TestAllOrNone(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		msgs := book(10)
		msgs[6].Subject = "elsewhere" // in no stream, so page 7 is not stored
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

// Send does not change the messages. They can be sent again in a longer sequence, and one
// message can be in it twice.
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

// Send ends after 10 s while the server does not reply.
func TestSendDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		s.Link("sender").Delay(time.Hour)
		start := time.Now()
		require.ErrorIs(t, sequence.Send(context.Background(), js, "a", book(3)...), context.DeadlineExceeded)
		require.InDelta(t, 10, time.Since(start).Seconds(), 0.5)
	})
}

// Send accepts a message that was part of a batch before.
func TestSendFromBatch(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		m := book(1)[0]
		m.Header = nats.Header{"Nats-Batch-Id": {"old"}, "Nats-Batch-Sequence": {"2"}}
		require.NoError(t, sequence.Send(t.Context(), js, "a", m))
		require.EqualValues(t, 1, stored(t, js))
	})
}
