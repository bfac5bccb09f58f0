package schedule_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/schedule"
)

// The work: a message is planned for tomorrow under each of n ids, on condition that
// nothing is; which takes a look and a publish.
func BenchmarkAt(b *testing.B) {
	const n = 1000
	at, data := time.Now().Add(24*time.Hour), make([]byte, 100)
	ratio.Bar{Pattern: "schedule", Metric: "At, beside a look and a conditional publish", AtLeast: 0.9, Pairs: 15}.Compare(b,
		func(b *testing.B) time.Duration {
			s := natstest.Start(b)
			defer s.Stop()
			calendar(b, s, "clerk", schedule.Config{})
			js := s.JetStream("plain")
			stream, err := js.Stream(b.Context(), "SCHEDULE_shop")
			require.NoError(b, err)
			start := time.Now()
			for i := range n {
				id := "id-" + strconv.Itoa(i)
				_, err := stream.GetLastMsgForSubject(b.Context(), "schedule.shop."+id+".>")
				require.ErrorIs(b, err, jetstream.ErrMsgNotFound)
				m := nats.NewMsg("schedule.shop." + id + ".plan.0")
				m.Data = data
				when := "@at " + at.UTC().Format(time.RFC3339Nano)
				m.Header.Set(schedule.HeaderWhen, when)
				m.Header.Set(schedule.HeaderBy, "plain")
				m.Header.Set(jetstream.ScheduleHeader, when)
				m.Header.Set(jetstream.ScheduleTargetHeader, "schedule.shop."+id+".due")
				m.Header.Set(jetstream.ScheduleTTLHeader, "168h0m0s")
				_, err = js.PublishMsg(b.Context(), m, jetstream.WithExpectLastSequenceForSubject(0, "schedule.shop."+id+".>"))
				require.NoError(b, err)
			}
			return time.Since(start)
		},
		func(b *testing.B) time.Duration {
			s := natstest.Start(b)
			defer s.Stop()
			c := calendar(b, s, "clerk", schedule.Config{})
			msg := &nats.Msg{Data: data}
			start := time.Now()
			for i := range n {
				require.NoError(b, c.At(b.Context(), "id-"+strconv.Itoa(i), at, msg))
			}
			return time.Since(start)
		})
}

// The work: a plain subscriber gets 20,000 messages; ours looks at the deadline of each.
func BenchmarkFilter(b *testing.B) {
	const n = 20_000
	get := func(wrap func(nats.MsgHandler) nats.MsgHandler) func(*testing.B) time.Duration {
		return func(b *testing.B) time.Duration {
			s := natstest.Start(b)
			defer s.Stop()
			nc, done, got := s.Connect("till"), make(chan struct{}), 0
			_, err := nc.Subscribe("coupons", wrap(func(*nats.Msg) {
				if got++; got == n {
					close(done)
				}
			}))
			require.NoError(b, err)
			require.NoError(b, nc.Flush())
			sender, m := s.Connect("shop"), until(time.Now().Add(time.Hour), "ten per cent")
			start := time.Now()
			for range n {
				require.NoError(b, sender.PublishMsg(m))
			}
			require.NoError(b, sender.Flush())
			<-done
			return time.Since(start)
		}
	}
	ratio.Bar{Pattern: "schedule", Metric: "Filter, beside a subscriber that does not look", AtLeast: 0.8, Pairs: 31}.Compare(b,
		get(func(h nats.MsgHandler) nats.MsgHandler { return h }), get(schedule.Filter{}.Core))
}

// 10,000 are due at one instant: how long until the last of them is in the stream.
func BenchmarkDueTogether(b *testing.B) {
	if b.N > 1 {
		return
	}
	const n = 10_000
	s := natstest.Start(b)
	c, js := calendar(b, s, "clerk", schedule.Config{}), s.JetStream("crowd")
	at := time.Now().Add(3 * time.Second)
	for i := range n {
		to := fmt.Sprint("schedule.shop.n-", i)
		_, err := js.PublishMsgAsync(&nats.Msg{Subject: to + ".plan.0", Data: make([]byte, 100), Header: nats.Header{
			jetstream.ScheduleHeader: {"@at " + at.UTC().Format(time.RFC3339Nano)}, jetstream.ScheduleTargetHeader: {to + ".due"}}})
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	require.True(b, time.Now().Before(at), "too slow to plan them all in time")
	cons, err := c.Consumer(b.Context(), "all")
	require.NoError(b, err)
	last := time.Time{}
	for got := 0; got < n; {
		batch, err := cons.Fetch(n-got, jetstream.FetchMaxWait(5*time.Second))
		require.NoError(b, err)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			require.NoError(b, err)
			require.False(b, meta.Timestamp.Before(at), "early")
			last, got = meta.Timestamp, got+1
			require.NoError(b, m.Ack())
		}
	}
	late := last.Sub(at)
	ratio.Report(b, "schedule", "10,000 due at one instant, the last after", late.Round(time.Millisecond).String(), "<= 2s", late <= 2*time.Second)
}
