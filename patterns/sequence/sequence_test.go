package sequence_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

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

// A duplicate is published once, before and after its original is published.
func TestRepeats(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		for _, number := range []uint64{2, 2, 1, 1, 2, 3, 1} {
			m := nats.NewMsg("pages.a")
			require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: number}))
			m.Header.Del(jetstream.MsgIDHeader) // without it the stream stores the duplicate
			_, err := js.PublishMsg(t.Context(), m)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		bodies, _ := ordered(t, js, "a")
		require.Len(t, bodies, 3)
		info, err := must(js.Consumer(t.Context(), "PAGES", "sequence-book")).Info(t.Context())
		require.NoError(t, err)
		require.Zero(t, info.NumAckPending+int(info.NumPending), "all messages are acknowledged")
		require.NoError(t, stop())
	})
}

// The greatest number has a successor, so numbers do not overflow.
func TestGreatestNumber(t *testing.T) {
	m := &nats.Msg{}
	require.ErrorIs(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: math.MaxUint64}), sequence.ErrPosition)
	_, err := sequence.At(nats.Header{sequence.HeaderID: {"a"}, sequence.HeaderNumber: {"18446744073709551615"}})
	require.ErrorIs(t, err, sequence.ErrPosition)
	require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: math.MaxInt64}))
	p, err := sequence.At(m.Header)
	require.NoError(t, err)
	require.EqualValues(t, math.MaxInt64, p.Number)
}
