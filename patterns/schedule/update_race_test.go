package schedule_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

// instant calls then for each of 100 messages at the instant when they and 1,000 others
// are due, and returns the last message of each.
func instant(t *testing.T, newPlanner func(t *testing.T, s *natstest.Server) planner, then func(ctx context.Context, p planner, id string)) (last map[string]int) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		calendar(t, s, "clerk", schedule.Config{Storage: jetstream.MemoryStorage})
		at, js, p := midnight.Add(10*time.Second), s.JetStream("others"), newPlanner(t, s)
		for i := range 1000 {
			to := fmt.Sprint("schedule.shop.other-", i)
			_, err := js.PublishMsgAsync(&nats.Msg{Subject: to + ".plan.0", Header: nats.Header{
				"Nats-Schedule": {"@at 2000-01-01T00:00:10Z"}, "Nats-Schedule-Target": {to + ".due"}}})
			require.NoError(t, err)
		}
		<-js.PublishAsyncComplete()
		for i := range 100 {
			require.NoError(t, p.at(t.Context(), fmt.Sprint("late-", i), at, "first"))
		}
		time.Sleep(time.Until(at))
		for i := range 100 {
			then(t.Context(), p, fmt.Sprint("late-", i))
		}
		time.Sleep(time.Hour)
		stream, err := js.Stream(t.Context(), "SCHEDULE_shop")
		require.NoError(t, err)
		last = map[string]int{}
		for i := range 100 {
			m, err := stream.GetLastMsgForSubject(t.Context(), fmt.Sprint("schedule.shop.late-", i, ".*"))
			if err == nil {
				last[m.Subject[len(m.Subject)-3:]+" "+string(m.Data)]++
			}
		}
	})
	return last
}

// A due message purges the subject of its schedule. With one subject for each ID, a new
// schedule at that instant would be purged, though it was acknowledged.
func TestReplaceAtTheInstant(t *testing.T) {
	again := func(ctx context.Context, p planner, id string) {
		require.NoError(t, p.at(ctx, id, midnight.Add(time.Minute), "second"))
	}
	ours := instant(t, func(t *testing.T, s *natstest.Server) planner {
		return conditional{calendar(t, s, "ours", schedule.Config{Storage: jetstream.MemoryStorage})}
	}, again)
	require.Equal(t, map[string]int{"due second": 100}, ours)
	for range 9 { // the race does not happen in each run
		naive := instant(t, func(t *testing.T, s *natstest.Server) planner { return plain{s.JetStream("plain")} }, again)
		if t.Logf("of 100 scheduled again on one subject, %d were due", naive["due second"]); naive["due second"] < 100 {
			return
		}
	}
	t.Fatal("nothing was lost: the server does not have this race any more")
}

// At the instant itself Cancel can be too late, and returns false.
func TestCancelAtTheInstant(t *testing.T) {
	last := instant(t, func(t *testing.T, s *natstest.Server) planner {
		return conditional{calendar(t, s, "ours", schedule.Config{Storage: jetstream.MemoryStorage})}
	},
		func(ctx context.Context, p planner, id string) {
			cancelled, err := p.(conditional).Cancel(ctx, id)
			require.NoError(t, err)
			require.False(t, cancelled)
		})
	t.Logf("%d were due after Cancel", last["due first"])
}

// Without a deadline, a call ends after 10 s while the server does not reply.
func TestDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		c, ctx := calendar(t, s, "clerk", schedule.Config{}), context.Background()
		s.Link("clerk").Delay(time.Hour)
		for name, call := range map[string]func() error{
			"At":     func() error { return c.At(ctx, "a", time.Now().Add(time.Hour), body("x")) },
			"Cancel": func() error { _, err := c.Cancel(ctx, "a"); return err },
			"Get":    func() error { _, err := c.Get(ctx, "a"); return err },
			"List":   func() error { _, err := c.List(ctx); return err },
		} {
			start := time.Now()
			require.ErrorIs(t, call(), context.DeadlineExceeded, name)
			require.InDelta(t, 10, time.Since(start).Seconds(), 0.5, name)
		}
	})
}
