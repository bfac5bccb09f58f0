package schedule_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

// A receiver of plain messages drops what has expired on the way, by its own clock, and
// tells what; Skew is what it allows the sender's clock.
func TestFilterCore(t *testing.T) {
	for name, tc := range map[string]struct {
		skew, lag time.Duration
		handled   bool
	}{
		"in time":                   {0, 4999 * time.Millisecond, true},
		"at the deadline":           {0, 5 * time.Second, false},
		"later, but within Skew":    {time.Second, 5999 * time.Millisecond, true},
		"later by more than Skew":   {time.Second, 6 * time.Second, false},
		"a negative Skew is strict": {-time.Second, 4 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				var handled atomic.Int64
				var refused refusals
				f := schedule.Filter{Skew: tc.skew, Refused: refused.add}
				nc := s.Connect("till")
				sub, err := nc.Subscribe("coupons", f.Core(func(*nats.Msg) { handled.Add(1) }))
				require.NoError(t, err)
				require.NoError(t, nc.Flush())
				sender := s.ConnectLag("shop", tc.lag)
				at := time.Now()
				require.NoError(t, sender.PublishMsg(until(at.Add(5*time.Second), "ten per cent")))
				require.NoError(t, sender.PublishMsg(&nats.Msg{Subject: "coupons", Data: []byte("for ever")}))
				time.Sleep(time.Minute)
				require.NoError(t, sub.Drain())
				time.Sleep(time.Second)
				if tc.handled {
					require.EqualValues(t, 2, handled.Load())
					require.Empty(t, refused)
				} else {
					require.EqualValues(t, 1, handled.Load(), "what has no deadline does not expire")
					require.Len(t, refused, 1)
					require.True(t, strings.HasPrefix(refused[0], "coupons: schedule: expired "), refused[0])
				}
			})
		})
	}
}

// A consumer may have a message in hand when it expires, and it expires before it comes
// again: it is refused then, once, with its reason, and is still in the stream.
func TestFilterStream(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "COUPONS", Subjects: []string{"coupons"}})
		require.NoError(t, err)
		cons, err := js.CreateConsumer(t.Context(), "COUPONS", jetstream.ConsumerConfig{Durable: "till", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Second})
		require.NoError(t, err)
		advisories, err := s.Connect("auditor").SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.COUPONS.till")
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
		for _, m := range []*nats.Msg{until(midnight.Add(5*time.Second), "short"), until(midnight.Add(time.Hour), "long"),
			{Subject: "coupons", Header: nats.Header{schedule.HeaderDeadline: {"tomorrow"}}}} {
			_, err = js.PublishMsg(t.Context(), m)
			require.NoError(t, err)
		}
		var handled []string
		var refused refusals
		f := schedule.Filter{Refused: refused.add}
		work, err := cons.Consume(f.Stream(func(m jetstream.Msg) {
			handled = append(handled, string(m.Data()))
			if len(handled) > 2 { // the first time, it dies with both in hand
				_ = m.Ack()
			}
		}))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		work.Stop()
		<-work.Closed()
		require.Equal(t, []string{"short", "long", "long"}, handled)
		require.Equal(t, refusals{`coupons: schedule: bad deadline; use RFC 3339: Schedule-Deadline is "tomorrow"`, "coupons: schedule: expired 5s ago"}, refused)
		info, err := cons.Info(t.Context())
		require.NoError(t, err)
		require.Zero(t, info.NumAckPending)
		for range 2 {
			a, err := advisories.NextMsg(time.Second)
			require.NoError(t, err)
			require.Contains(t, string(a.Data), `"reason":"schedule: `)
		}
		stream, err := js.Stream(t.Context(), "COUPONS")
		require.NoError(t, err)
		require.EqualValues(t, 3, stream.CachedInfo().State.Msgs)
	})
}

// With a TTL the stream itself drops what nobody has fetched: never before the
// deadline, as whole seconds would have it, and within a second or so after it.
func TestTTL(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "COUPONS", Subjects: []string{"coupons"}, AllowMsgTTL: true})
		require.NoError(t, err)
		gone := func(seq uint64) time.Duration {
			for start := time.Now(); ; time.Sleep(10 * time.Millisecond) {
				if _, err := stream.GetMsg(t.Context(), seq); errors.Is(err, jetstream.ErrMsgNotFound) {
					return time.Since(start)
				}
			}
		}
		for i, tc := range []struct{ lasts, least, most time.Duration }{
			{100 * time.Millisecond, time.Second, 1300 * time.Millisecond}, // a second is the least
			{1500 * time.Millisecond, 2 * time.Second, 2300 * time.Millisecond},
			{-time.Hour, time.Second, 1300 * time.Millisecond},
			{4 * time.Second, 4 * time.Second, 4300 * time.Millisecond},
		} {
			deadline := time.Now().Add(tc.lasts)
			_, err := js.PublishMsg(t.Context(), until(deadline, "x"), schedule.TTL(deadline))
			require.NoError(t, err)
			took := gone(uint64(i) + 1)
			require.GreaterOrEqual(t, took, tc.least)
			require.LessOrEqual(t, took, tc.most)
		}
		for _, deadline := range []time.Time{midnight.AddDate(290, 0, 0), midnight.AddDate(7000, 0, 0)} { // where the server's count turns over
			ack, err := js.PublishMsg(t.Context(), until(deadline, "x"), schedule.TTL(deadline))
			require.NoError(t, err)
			time.Sleep(time.Minute)
			_, err = stream.GetMsg(t.Context(), ack.Sequence)
			require.NoError(t, err)
		}
		_, err = js.PublishMsg(t.Context(), until(time.Now().Add(1900*time.Millisecond), "x"), jetstream.WithMsgTTL(1900*time.Millisecond))
		require.NoError(t, err)
		require.Less(t, gone(7), 1400*time.Millisecond, "half a second early, without the rounding")
	})
}

// A message may be planned with a deadline: the server drops it after that, and a
// receiver refuses it, also when it came late because the server was down.
func TestPlannedWithDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c := calendar(t, s, "shop", schedule.Config{})
		at := midnight.Add(10 * time.Second)
		require.ErrorIs(t, c.At(t.Context(), "a", at, until(at, "x")), schedule.ErrExpired)
		require.ErrorIs(t, c.Every(t.Context(), "a", time.Hour, until(at, "x")), schedule.ErrMessage)
		require.ErrorIs(t, c.At(t.Context(), "a", at, &nats.Msg{Header: nats.Header{schedule.HeaderDeadline: {"soon"}}}), schedule.ErrDeadline)
		require.NoError(t, c.At(t.Context(), "a", at, until(at.Add(2500*time.Millisecond), "x")))
		require.NoError(t, c.At(t.Context(), "b", at.Add(time.Minute), until(at.Add(61*time.Second), "x")))
		require.NoError(t, c.At(t.Context(), "c", at, until(midnight.AddDate(7000, 0, 0), "for ever")))
		time.Sleep(12900 * time.Millisecond)
		require.Equal(t, []string{"10s a x", "10s c for ever"}, due(t, s))
		time.Sleep(time.Second)
		require.Equal(t, []string{"10s c for ever"}, due(t, s), "dropped")
		s.Stop()
		time.Sleep(3 * time.Minute)
		require.NoError(t, s.Start())
		var refused refusals
		var handled []string
		f := schedule.Filter{Refused: refused.add}
		cons, err := c.Consumer(t.Context(), "till")
		require.NoError(t, err)
		work, err := cons.Consume(f.Stream(func(m jetstream.Msg) { handled = append(handled, string(m.Data())) }))
		require.NoError(t, err)
		time.Sleep(time.Second)
		work.Stop()
		<-work.Closed()
		require.Len(t, refused, 1)
		require.Equal(t, []string{"for ever"}, handled, "the other is late")
	})
}
