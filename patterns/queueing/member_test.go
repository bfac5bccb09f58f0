package queueing_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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
