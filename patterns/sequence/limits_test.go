package sequence_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

// No more than Buffer messages are held, and none is lost.
func TestBuffer(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		observer := s.Connect("observer")
		acks, err := observer.SubscribeSync("$JS.ACK.PAGES.>")
		require.NoError(t, err)
		require.NoError(t, observer.Flush())
		var full atomic.Int64
		stop := run(t, s.JetStream("reseq"), sequence.Config{Buffer: 8, Missing: func(g sequence.Gap) sequence.Decision {
			if g.Full {
				full.Add(1)
			}
			return sequence.Wait
		}})
		var numbers []uint64
		for i := range uint64(60) {
			numbers = append(numbers, 60-i) // the worst case: the first arrives last
		}
		put(t, js, "a", 60, numbers[:59]...)
		time.Sleep(10500 * time.Millisecond) // after 10 s, it sends in-progress for the held messages
		require.Positive(t, full.Load())
		held := 0
		for m, err := acks.NextMsg(time.Millisecond); err == nil; m, err = acks.NextMsg(time.Millisecond) {
			if string(m.Data) == "+WPI" {
				held++
			}
		}
		require.True(t, 0 < held && held <= 8, "held %d", held)
		put(t, js, "a", 60, 1)
		time.Sleep(2 * time.Minute)
		got, _ := ordered(t, js, "a")
		require.Len(t, got, 60)
		require.NoError(t, stop())
	})
}

// An evicted message is redelivered before its own gap times out.
func TestEvicted(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{Buffer: 3, Missing: func(g sequence.Gap) sequence.Decision {
			if g.Full {
				return sequence.Wait
			}
			return sequence.Skip
		}})
		put(t, js, "a", 6, 2, 3, 4, 1, 5, 6) // 4 is evicted, and is next soon after
		time.Sleep(time.Minute)
		got, _ := ordered(t, js, "a")
		require.Equal(t, "a 1,a 2,a 3,a 4,a 5,a 6", strings.Join(got, ","))
		require.NoError(t, stop())
	})
}

// A message fits if its copy, with its headers, has exactly max_payload bytes.
func TestLargest(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		m := &nats.Msg{Subject: "pages.a"}
		require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: 1, Last: true}))
		m.Header.Del(jetstream.MsgIDHeader)
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, "0") // as in the copy
		m.Data = make([]byte, int(js.Conn().MaxPayload())-(m.Size()-len(m.Subject)))
		_, err := js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
		time.Sleep(time.Second)
		got, _ := ordered(t, js, "a")
		require.NoError(t, stop())
		require.Len(t, got, 1)
	})
}

// While the output stream is full, Run waits and loses nothing.
func TestOutputFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx := s.JetStream("sender"), t.Context()
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{MaxBytes: 500})
		put(t, js, "a", 20, 2, 1, 3, 4, 5, 6, 7, 8, 9, 10)
		time.Sleep(time.Minute)
		some, _ := ordered(t, js, "a")
		require.Less(t, len(some), 10)
		output := must(js.Stream(ctx, "SEQUENCE_book")).CachedInfo().Config
		output.MaxBytes = -1
		must(js.UpdateStream(ctx, output))
		time.Sleep(5 * time.Second)
		all, at := ordered(t, js, "a")
		require.Len(t, all, 10)
		require.Equal(t, all[:len(some)], some)
		require.EqualValues(t, 10, at[9].Number)
		require.NoError(t, stop())
	})
}
