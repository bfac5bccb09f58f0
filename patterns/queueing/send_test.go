package queueing_test

import (
	"context"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/server"
	"github.com/natspatterns/catalog/patterns/queueing"
)

// The stream stores an ID once in 2 minutes.
func TestSendTwice(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		sc.send(t, "job-1", "job-1")
		sc.work(t, "a", queueing.Config{}, 0, nil)
		time.Sleep(time.Minute)
		sc.send(t, "job-1") // it is done, and is not stored again
		time.Sleep(2 * time.Minute)
		require.Equal(t, []string{"0s a has job-1"}, sc.noted())
	})
}

// A denied publish is reported as one.
func TestSendDenied(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, _ *natstest.Server) {
		deny := &natsserver.Permissions{Publish: &natsserver.SubjectPermission{Deny: []string{"jobs.mail.job-3", "jobs.mail.job-500"}}}
		srv, err := server.New(natsserver.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(),
			Users: []*natsserver.User{{Username: "shop", Password: "shop", Permissions: deny}}})
		require.NoError(t, err)
		defer srv.Stop()
		nc, err := nats.Connect("", nats.InProcessServer(srv), nats.UserInfo("shop", "shop"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		require.NoError(t, err)
		defer nc.Close()
		js := natstest.JetStream(t, nc)
		require.NoError(t, queueing.Provision(t.Context(), js, "mail", queueing.Config{}))

		start, jobs := time.Now(), manyJobs(300)
		unconfirmed, err := queueing.SendAll(t.Context(), js, "mail", jobs...)
		requireConfirmed(t, js, jobs, unconfirmed, err)
		require.ErrorIs(t, err, nats.ErrPermissionViolation)
		require.Equal(t, jobs[3], unconfirmed[0])
		require.Equal(t, 5*time.Second, time.Since(start))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		unconfirmed, err = queueing.SendAll(ctx, js, "mail", jobs[:9]...)
		require.ErrorIs(t, err, nats.ErrPermissionViolation, "its context ended first")
		require.Equal(t, jobs[3:4], unconfirmed)
		require.Equal(t, 6*time.Second, time.Since(start))

		_, err = queueing.Send(t.Context(), js, "mail", "job-500", &nats.Msg{})
		require.ErrorIs(t, err, nats.ErrPermissionViolation)
		require.ErrorContains(t, err, "jobs.mail.job-500")
		require.Equal(t, 11*time.Second, time.Since(start))

		_, err = queueing.Send(t.Context(), js, "mail", "job-1", &nats.Msg{})
		require.NoError(t, err, "an earlier violation is of no interest")
	})
}
