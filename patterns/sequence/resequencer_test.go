package sequence_test

import (
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

// A run publishes the messages that the previous one held, and none that it published.
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
		require.Less(t, time.Since(start), 10*time.Second, "the held messages were naked")
		require.NoError(t, stop())
	})
}

// Prefetched messages are available to the next run at once.
func TestPrefetched(t *testing.T) {
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

// Two resequencers with one name keep the order and skip nothing, although each holds
// messages that the other one waits for.
func TestTwoResequencers(t *testing.T) {
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

// After another resequencer publishes, another page is missing, and its wait begins.
func TestAnotherPublishes(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{Missing: skip})
		put(t, js, "a", 9, 3, 7)
		time.Sleep(4900 * time.Millisecond)
		for n := range uint64(2) { // as another resequencer
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

// A message without a position is terminated. A message with the greatest number is held.
func TestNoPosition(t *testing.T) {
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
		advisory, err := ended.NextMsg(time.Second)
		require.NoError(t, err)
		require.Contains(t, string(advisory.Data), "bad position")
		require.NoError(t, stop())
	})
}

// A duplicate of a published message does not delay the next one.
func TestDuplicateDelaysNothing(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		pages(t, js)
		stop := run(t, s.JetStream("reseq"), sequence.Config{})
		for _, number := range []uint64{1, 1, 2} {
			m := &nats.Msg{Subject: "pages.a", Data: fmt.Appendf(nil, "a %d", number)}
			require.NoError(t, sequence.Stamp(m, sequence.Position{ID: "a", Number: number}))
			m.Header.Del(jetstream.MsgIDHeader)
			must(js.PublishMsg(t.Context(), m))
		}
		time.Sleep(100 * time.Millisecond)
		got, _ := ordered(t, js, "a")
		require.Equal(t, []string{"a 1", "a 2"}, got)
		require.NoError(t, stop())
	})
}

// The positions of old sequences are not kept in memory: they are read again.
func TestManySequences(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, observer := s.JetStream("sender"), s.Connect("observer")
		pages(t, js)
		reads := must(observer.SubscribeSync("$JS.API.STREAM.MSG.GET.SEQUENCE_book"))
		require.NoError(t, observer.Flush())
		stop := run(t, s.JetStream("reseq"), sequence.Config{Buffer: 5})
		for _, number := range []uint64{1, 2} {
			for n := range 30 {
				put(t, js, fmt.Sprint("book-", n), 0, number)
			}
		}
		time.Sleep(time.Second)
		n, _, err := reads.Pending()
		require.NoError(t, err)
		require.Equal(t, 60, n)
		require.NoError(t, stop())
	})
}
