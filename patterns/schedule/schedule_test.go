package schedule_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

// A scheduled message is due once, at its time to the millisecond, and unchanged.
func TestAt(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c := calendar(t, s, "clerk", schedule.Config{})
		msg := &nats.Msg{Header: nats.Header{"Trace": {"a", "b"}}, Data: []byte("call the bank")}
		require.NoError(t, c.At(t.Context(), "reminder-1", midnight.Add(2700*time.Millisecond), msg))
		require.Equal(t, nats.Header{"Trace": {"a", "b"}}, msg.Header, "the message of the caller is not changed")
		p, err := c.Get(t.Context(), "reminder-1")
		require.NoError(t, err)
		require.Equal(t, midnight.Add(2700*time.Millisecond), p.Next)
		time.Sleep(time.Hour)
		require.Equal(t, []string{"2.7s reminder-1 call the bank"}, due(t, s))
		_, err = c.Get(t.Context(), "reminder-1")
		require.ErrorIs(t, err, schedule.ErrNotFound)

		cons, err := c.Consumer(t.Context(), "phone")
		require.NoError(t, err)
		m, err := cons.Next()
		require.NoError(t, err)
		p = schedule.ReadEntry(m)
		require.Equal(t, schedule.Entry{ID: "reminder-1", When: "@at 2000-01-01T00:00:02.7Z", By: "clerk", Header: msg.Header, Data: []byte("call the bank")}, p)
		require.Equal(t, []string{"a", "b"}, m.Headers()["Trace"])
		m, err = cons.Next(jetstream.FetchMaxWait(time.Minute)) // redelivered after 30 s without an ack
		require.NoError(t, err)
		require.NoError(t, m.Ack())
	})
}

// A core subscriber receives the schedule, and not the due message: the server stores it
// and does not publish it, unless the stream has RePublish.
func TestCoreSubscriber(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("clerk")
		cfg, err := schedule.StreamConfig("shop", schedule.Config{})
		require.NoError(t, err)
		cfg.RePublish = &jetstream.RePublish{Source: "schedule.shop.*.due", Destination: "live.{{wildcard(1)}}"}
		_, err = js.CreateStream(t.Context(), cfg)
		require.NoError(t, err)
		sub, err := s.Connect("subscriber").SubscribeSync(">")
		require.NoError(t, err)
		require.NoError(t, s.Connect("subscriber").Flush())
		time.Sleep(time.Second)
		c := calendar(t, s, "clerk", schedule.Config{Bind: true})
		require.NoError(t, c.At(t.Context(), "tea", midnight.Add(10*time.Second), body("tea")))
		time.Sleep(time.Minute)
		var seen []string
		for n, _, _ := sub.Pending(); n > 0; n-- {
			m, err := sub.NextMsg(time.Second)
			require.NoError(t, err)
			if strings.HasPrefix(m.Subject, "schedule.") || strings.HasPrefix(m.Subject, "live.") {
				seen = append(seen, m.Subject)
			}
		}
		require.Equal(t, []string{"schedule.shop.tea.plan.0", "live.tea"}, seen)
	})
}

// The last call for an ID counts, and one message is due.
func TestReplace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c, other := calendar(t, s, "clerk", schedule.Config{}), calendar(t, s, "other", schedule.Config{})
		require.NoError(t, c.At(t.Context(), "a", midnight.Add(5*time.Second), body("first")))
		require.NoError(t, other.At(t.Context(), "a", midnight.Add(9*time.Second), body("later")))
		require.NoError(t, c.At(t.Context(), "b", midnight.Add(9*time.Second), body("first")))
		require.NoError(t, other.At(t.Context(), "b", midnight.Add(5*time.Second), body("sooner")))
		require.NoError(t, c.Every(t.Context(), "c", 2*time.Second, body("often")))
		time.Sleep(5100 * time.Millisecond)
		require.NoError(t, other.At(t.Context(), "c", midnight.Add(8*time.Second), body("once")))
		time.Sleep(time.Minute)
		require.Equal(t, []string{"2s c often", "4s c often", "5s b sooner", "8s c once", "9s a later"}, due(t, s))
	})
}

// All instances of a service schedule its recurring messages whenever they start. An
// equal message changes nothing: the interval does not start again.
func TestPlannedByAll(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		a, b := calendar(t, s, "a", schedule.Config{}), calendar(t, s, "b", schedule.Config{})
		for range 20 {
			for _, c := range []*schedule.Calendar{a, b} {
				require.NoError(t, c.Every(t.Context(), "cleanup", 10*time.Second, body("sweep the floor")))
				require.NoError(t, c.Cron(t.Context(), "report", "0,30  * * * * *", "Europe/Amsterdam", body("report")))
			}
			time.Sleep(1700 * time.Millisecond) // never as long as the interval
		}
		require.Equal(t, []string{"10s cleanup sweep the floor", "20s cleanup sweep the floor", "30s cleanup sweep the floor", "30s report report"}, due(t, s)) // of one instant, in the order of their plans
		require.NoError(t, b.Every(t.Context(), "cleanup", 10*time.Second, body("mop it")))
		time.Sleep(11 * time.Second)
		require.Contains(t, due(t, s), "44s cleanup mop it")
	})
}

// What is cancelled before it is due does not come; nor does what a call that was
// cancelled still had under way.
func TestCancel(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c := calendar(t, s, "clerk", schedule.Config{})
		require.NoError(t, c.At(t.Context(), "a", midnight.Add(5*time.Second), body("a")))
		require.NoError(t, c.Every(t.Context(), "b", 2*time.Second, body("b")))
		time.Sleep(4900 * time.Millisecond)
		for id, was := range map[string]bool{"a": true, "b": true, "c": false} {
			cancelled, err := c.Cancel(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, was, cancelled, id)
			cancelled, err = c.Cancel(t.Context(), id)
			require.NoError(t, err)
			require.False(t, cancelled, "again")
			_, err = c.Get(t.Context(), id)
			require.ErrorIs(t, err, schedule.ErrNotFound)
		}
		time.Sleep(time.Minute)
		require.Equal(t, []string{"2s b b", "4s b b"}, due(t, s))
		require.NoError(t, c.At(t.Context(), "a", midnight.Add(2*time.Minute), body("after all")))
		time.Sleep(time.Hour)
		require.Equal(t, []string{"2s b b", "4s b b", "2m0s a after all"}, due(t, s))
		cancelled, err := c.Cancel(t.Context(), "a")
		require.NoError(t, err)
		require.False(t, cancelled, "it has come")
		for _, m := range stored(t, s) {
			require.Equal(t, "168h0m0s", m.Header.Get("Nats-TTL"), "in the end all is forgotten: %s", m.Subject)
		}
	})
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cfg := schedule.Config{MaxAge: time.Second} // which is for what is due, not for what is cancelled
		slow, c := calendar(t, s, "slow", cfg), calendar(t, s, "clerk", cfg)
		s.Link("slow").Delay(1500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		time.AfterFunc(1400*time.Millisecond, func() { s.Link("slow").Delay(5 * time.Second) }) // so the order to plan arrives late
		require.ErrorIs(t, slow.At(ctx, "a", midnight.Add(10*time.Second), body("a")), context.DeadlineExceeded)
		cancelled, err := c.Cancel(t.Context(), "a")
		require.NoError(t, err)
		require.False(t, cancelled, "it was not yet there")
		time.Sleep(time.Until(midnight.Add(10500 * time.Millisecond)))
		require.Empty(t, due(t, s))
	})
}

// A call that failed is repeated with the same time, and the message comes once,
// though the first call had done it, and it has come since.
func TestRepeat(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c := calendar(t, s, "clerk", schedule.Config{MaxAge: time.Minute})
		at := midnight.Add(2 * time.Second)
		for range 8 {
			require.NoError(t, c.At(t.Context(), "a", at, body("a")))
			time.Sleep(500 * time.Millisecond)
		}
		require.Equal(t, []string{"2s a a"}, due(t, s))
		require.ErrorIs(t, c.At(t.Context(), "a", at, body("another")), schedule.ErrPast)
		time.Sleep(2 * time.Minute)
		require.ErrorIs(t, c.At(t.Context(), "a", at, body("a")), schedule.ErrPast, "it was kept a minute, and is forgotten")
		require.Empty(t, stored(t, s))
		at = time.Now().Add(2 * time.Second)
		for range 8 { // the wire carries no blanks around a value, no lines in it, and no empty list
			require.NoError(t, c.At(t.Context(), "b", at, &nats.Msg{Header: nats.Header{"A": {" a\r\nb\t", ""}, "B": {}}}))
			time.Sleep(500 * time.Millisecond)
		}
		require.Len(t, due(t, s), 1)
	})
}

// An equal message with another MaxAge replaces the scheduled one.
func TestMaxAge(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		for _, maxAge := range []time.Duration{time.Hour, 2 * time.Hour} {
			c := calendar(t, s, "boss", schedule.Config{MaxAge: maxAge})
			require.NoError(t, c.Every(t.Context(), "report", time.Minute, body("x")))
		}
		time.Sleep(90 * time.Second)
		all := stored(t, s)
		require.Equal(t, "2h0m0s", all[len(all)-1].Header.Get(jetstream.MsgTTLHeader))
		require.Len(t, due(t, s), 1)
	})
}
