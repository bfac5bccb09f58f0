package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// flaky is a connection that is connection lost before or after it publishes.
type flaky struct {
	jetstream.JetStream
	crash func(point string, m *nats.Msg) bool
}

var errConnectionLost = errors.New("connection lost")

func (f flaky) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if f.crash("before", m) {
		return nil, errConnectionLost
	}
	ack, err := f.JetStream.PublishMsg(ctx, m, opts...)
	if err == nil && f.crash("after", m) {
		return nil, errConnectionLost
	}
	return ack, err
}

// What the server was got once, it must not be got again: each of these headers
// has a message that is published again as it was refused, dropped, or handled at
// another time or twice. Requeue takes them off, and those of a fix as well.
func TestHeaders(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.LimitsPolicy, deadletter.Config{})
		headers := []nats.Header{
			{"Nats-Msg-Id": {"id-0"}}, {"Nats-TTL": {"1s"}},
			{"Nats-Expected-Last-Sequence": {"0"}}, {"Nats-Expected-Last-Subject-Sequence": {"0"}}, {"Nats-Expected-Last-Msg-Id": {"id-0"}},
			{"Nats-Expected-Stream": {"BASKETS"}}, {"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"2"}}, {"Nats-Stream-Source": {"BASKETS 1 > > orders.new"}},
			{"Nats-Incr": {"1"}}, {"Nats-Schedule": {"@at " + time.Now().Add(time.Hour).Format(time.RFC3339)}, "Nats-Schedule-Target": {"orders.later"}},
		}
		stop := sc.work("worker", "packing", sc.handle("packing"), deadletter.Config{})
		for i := range headers {
			m := &nats.Msg{Subject: fmt.Sprint("orders.", i), Header: nats.Header{"Nats-TTL": {"1h"}, "Nats-Expected-Stream": {"ORDERS"}, "Trace": {"t"}}, Data: []byte("poison")}
			_, err := sc.js.PublishMsg(t.Context(), m, jetstream.WithMsgID(fmt.Sprint("id-", i)), jetstream.WithExpectLastSequence(uint64(i)))
			require.NoError(t, err)
		}
		time.Sleep(time.Second)
		stop()
		require.Len(t, sc.letters(), len(headers), "the headers do not keep a message from being a letter")
		for l, err := range sc.ch.All(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, nats.Header{"Trace": {"t"}}, l.Msg.Header)
			h := headers[l.Sequence-1]
			_, _ = sc.js.PublishMsg(t.Context(), &nats.Msg{Subject: l.Msg.Subject, Header: h, Data: fmt.Append(nil, "copy-", l.Sequence)})
			require.NoError(t, sc.ch.Requeue(t.Context(), l.ID, func(msg *nats.Msg) error {
				msg.Subject, msg.Header, msg.Data = fmt.Sprint("orders.ours.", l.Sequence), h, fmt.Append(nil, "ours-", l.Sequence)
				return nil
			}))
		}
		time.Sleep(10 * time.Second) // the worker is away
		defer sc.work("worker-2", "packing", sc.handle("packing"), deadletter.Config{})()
		time.Sleep(10 * time.Second)
		notes := sc.noted()
		time.Sleep(2 * time.Hour)
		later := sc.noted()
		wrong := 0
		for i, h := range headers {
			name := fmt.Sprint("packing: ours-", i+1)
			require.Equal(t, []int{1, 0}, []int{count(notes, name), count(later, name)}, "%v", h)
			name = fmt.Sprint("packing: copy-", i+1)
			if count(notes, name) != 1 || count(later, name) != 0 {
				wrong++
			}
		}
		require.Equal(t, len(headers), wrong, "with all its headers, 10 of 10 go wrong")
	})
}

// A requeue that is repeated, by whom ever and whatever was cut, sends one message.
func TestRequeue(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.LimitsPolicy, deadletter.Config{})
		defer sc.work("worker", "packing", sc.handle("packing"), deadletter.Config{})()
		ctx := t.Context()
		letter := func() deadletter.Letter {
			sc.send("poison")
			time.Sleep(time.Second)
			sc.noted()
			return sc.first()
		}
		failing := func(point, header string) *deadletter.Channel {
			ch, err := deadletter.NewChannel(ctx, flaky{sc.js, func(at string, m *nats.Msg) bool { return at == point && m.Header.Get(header) != "" }}, "orders", deadletter.Config{})
			require.NoError(t, err)
			return ch
		}
		handled := func(why string) int {
			time.Sleep(time.Second)
			n := count(sc.noted(), "packing: fixed")
			require.Empty(t, sc.letters(), why)
			return n
		}

		l := letter()
		require.ErrorContains(t, sc.ch.Requeue(ctx, l.ID, func(*nats.Msg) error { return errors.New("beyond me") }), "beyond me")
		require.Len(t, sc.letters(), 1, "a fix that fails leaves it")
		require.ErrorContains(t, sc.ch.Requeue(ctx, l.ID, func(m *nats.Msg) error { m.Subject = "nowhere"; return nil }), "the letter stays")
		require.ErrorIs(t, sc.ch.Requeue(ctx, l.ID, fixed(string(make([]byte, 2<<20)))), nats.ErrMaxPayload)

		for _, at := range [][2]string{{"before", deadletter.HeaderConsumer}, {"after", deadletter.HeaderConsumer}, {"before", deadletter.HeaderResolved}, {"after", deadletter.HeaderResolved}} {
			l = letter()
			require.ErrorIs(t, failing(at[0], at[1]).Requeue(ctx, l.ID, fixed("fixed")), errConnectionLost)
			if err := sc.ch.Requeue(ctx, l.ID, fixed("fixed")); err != nil {
				require.ErrorIs(t, err, deadletter.ErrResolved)
			}
			want := 1
			if at == [2]string{"before", deadletter.HeaderConsumer} {
				want = 2 // with the letter of above, which is the first
				sc.requeueAll("fixed")
			}
			require.Equal(t, want, handled(fmt.Sprint(at)), "%v", at)
		}

		l = letter()
		ended := make(chan error)
		for range 5 {
			go func() { ended <- sc.ch.Requeue(ctx, l.ID, fixed("fixed")) }()
		}
		for range 5 {
			if err := <-ended; err != nil {
				require.ErrorIs(t, err, deadletter.ErrResolved)
			}
		}
		require.Equal(t, 1, handled("five at once"))

		l = letter()
		require.ErrorIs(t, failing("after", deadletter.HeaderConsumer).Requeue(ctx, l.ID, fixed("fixed")), errConnectionLost)
		time.Sleep(5 * time.Minute)
		require.NoError(t, sc.ch.Requeue(ctx, l.ID, fixed("fixed")))
		require.Equal(t, 2, handled("past the window"), "not promised: once when repeated past the window")
	})
}

// What is purged is gone, and does not come back.
func TestPurge(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{MaxAge: time.Hour})
		sc.send("poison")
		stop := sc.work("worker", "packing", func(ctx context.Context, msg deadletter.Message) error {
			time.AfterFunc(100*time.Millisecond, func() { s.Link("worker").Down() })
			return sc.handle("packing")(ctx, msg)
		}, deadletter.Config{MaxAge: time.Hour})
		time.Sleep(time.Second)
		stop()
		l := sc.first()
		require.NoError(t, sc.ch.Purge(t.Context(), l.ID))
		require.Empty(t, sc.letters())
		require.ErrorIs(t, sc.ch.Purge(t.Context(), l.ID), deadletter.ErrResolved)
		dead, err := sc.js.Stream(t.Context(), "DEAD_orders")
		require.NoError(t, err)
		raw, err := dead.GetLastMsgForSubject(t.Context(), "dead.orders.>")
		require.NoError(t, err)
		require.Empty(t, raw.Data)
		require.NoError(t, dead.Purge(t.Context()))
		require.ErrorIs(t, sc.ch.Purge(t.Context(), l.ID), deadletter.ErrNoLetter)
	})
}

// A worker that crashes after it has stored the letter leaves the message in its
// stream. It is not tried again, nor a letter again: not when that was requeued, nor
// when it was purged; not past the Duplicates window either.
func TestStoredAndCrashed(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		sc.send("poison", "poison", "poison")
		for i := range 3 {
			name := fmt.Sprint("worker-", i)
			js := flaky{s.JetStream(name), func(point string, m *nats.Msg) bool {
				if point == "after" {
					s.Link(name).Down()
				}
				return point == "after"
			}}
			ch, err := deadletter.NewChannel(t.Context(), js, "orders", deadletter.Config{})
			require.NoError(t, err)
			cons, err := js.Consumer(t.Context(), "ORDERS", "packing")
			require.NoError(t, err)
			guarded, err := ch.Guard(t.Context(), cons, sc.handle("packing"))
			require.NoError(t, err)
			run, err := cons.Consume(guarded, jetstream.PullMaxMessages(1))
			require.NoError(t, err)
			time.Sleep(time.Second)
			run.Stop()
			<-run.Closed()
		}
		require.Len(t, sc.letters(), 3)
		require.NoError(t, sc.ch.Purge(t.Context(), sc.first().ID))
		require.NoError(t, sc.ch.Requeue(t.Context(), sc.first().ID, fixed("fixed")))
		time.Sleep(3 * time.Minute)
		sc.noted()
		defer sc.work("worker", "packing", func(_ context.Context, msg deadletter.Message) error { sc.note("handled: %s", msg.Data); return nil }, deadletter.Config{})()
		time.Sleep(time.Minute)
		require.Equal(t, []string{"3m3s handled: fixed"}, sc.noted())
		require.Len(t, sc.letters(), 1)
	})
}
