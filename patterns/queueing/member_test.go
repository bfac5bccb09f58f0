package queueing_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

// A handler may change its message: another subscription of the same connection does
// not see that.
func TestMemberMessage(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		nc := s.Connect("a")
		before, err := nc.SubscribeSync("offers.mail.*")
		require.NoError(t, err)
		m, err := queueing.NewMember(t.Context(), nc, "mail", queueing.Config{})
		require.NoError(t, err)
		after, err := nc.SubscribeSync("offers.mail.*")
		require.NoError(t, err)
		done := make(chan queueing.Message, 1)
		run(t, m, func(_ context.Context, job queueing.Message) error {
			done <- job
			clear(job.Data)
			job.Header["K"][0] = "changed"
			job.Header.Set("Other", "changed")
			return nil
		})
		sent := &nats.Msg{Header: nats.Header{"K": {"v"}}, Data: []byte("data")}
		require.NoError(t, queueing.Offer(t.Context(), nc, "mail", "job-1", sent))
		time.Sleep(time.Second)
		job := <-done
		require.Equal(t, "job-1", job.ID)
		require.Equal(t, "offers.mail.job-1", job.Subject)
		require.Equal(t, "\x00\x00\x00\x00", string(job.Data))
		for _, sub := range []*nats.Subscription{before, after} {
			got, err := sub.NextMsg(time.Second)
			require.NoError(t, err)
			require.Equal(t, "data", string(got.Data))
			require.Equal(t, nats.Header{"K": {"v"}}, got.Header)
		}
		require.Equal(t, nats.Header{"K": {"v"}}, sent.Header)
	})
}

// A member buffers the jobs that arrive before Run. Without Run it ends with its
// connection: the bubble fails if a goroutine stays.
func TestMemberBeforeRun(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		client, nc := s.Connect("client"), s.Connect("a")
		_, err := queueing.NewMember(t.Context(), nc, "never-run", queueing.Config{})
		require.NoError(t, err)
		m, err := queueing.NewMember(t.Context(), nc, "mail", queueing.Config{})
		require.NoError(t, err)
		for _, id := range []string{"job-1", "job-2"} {
			require.NoError(t, queueing.Offer(t.Context(), client, "never-run", id, &nats.Msg{}))
			require.NoError(t, queueing.Offer(t.Context(), client, "mail", id, &nats.Msg{}))
		}
		time.Sleep(time.Second)
		var l ledger
		stop := run(t, m, func(_ context.Context, job queueing.Message) error { return l.did(job, 0) })
		time.Sleep(time.Second)
		require.Len(t, l.count(), 2)
		stop()
		nc.Close()
	})
}

// A Member that reconnects while it stops receives no more jobs.
func TestStopReconnected(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		m, err := queueing.NewMember(t.Context(), s.Connect("a"), "mail", queueing.Config{})
		require.NoError(t, err)
		var l ledger
		stop := run(t, m, func(_ context.Context, msg queueing.Message) error {
			time.Sleep(200 * time.Millisecond)
			return l.did(msg, 0)
		})
		client := s.Connect("client")
		offer := func(n int) {
			for i := range n {
				assert.NoError(t, queueing.Offer(t.Context(), client, "mail", fmt.Sprint("job-", n, "-", i), &nats.Msg{}))
			}
		}
		offer(6)
		time.Sleep(time.Millisecond)
		s.Link("a").Down()
		time.Sleep(10 * time.Millisecond)
		time.AfterFunc(100*time.Millisecond, s.Link("a").Up)
		time.AfterFunc(600*time.Millisecond, func() { offer(30) })
		start := time.Now()
		stop()
		require.InDelta(t, 1.2, time.Since(start).Seconds(), 0.1)
		require.Len(t, l.count(), 6)
	})
}
