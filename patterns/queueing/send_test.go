package queueing_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
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

func manyJobs(n int) (jobs []queueing.Job) {
	for i := range n {
		jobs = append(jobs, queueing.Job{ID: fmt.Sprint("job-", i), Msg: &nats.Msg{Subject: "ignored", Data: fmt.Append(nil, "data-", i)}})
	}
	return jobs
}

// stored returns the number of stored messages of each job.
func stored(t *testing.T, js jetstream.JetStream) map[string]uint64 {
	t.Helper()
	s, err := js.Stream(context.Background(), "JOBS_mail")
	require.NoError(t, err)
	info, err := s.Info(context.Background(), jetstream.WithSubjectFilter("jobs.mail.>"))
	require.NoError(t, err)
	return info.State.Subjects
}

// requireConfirmed fails unless each job is stored or reported, and err names those that
// are reported.
func requireConfirmed(t *testing.T, js jetstream.JetStream, jobs, unconfirmed []queueing.Job, err error) {
	t.Helper()
	reported := map[string]bool{}
	for _, job := range unconfirmed {
		reported[job.ID] = true
		require.ErrorContains(t, err, fmt.Sprintf("%q", job.ID))
	}
	have := stored(t, js)
	for _, job := range jobs {
		if !reported[job.ID] {
			require.EqualValues(t, 1, have["jobs.mail."+job.ID], job.ID)
		}
	}
	require.Equal(t, err == nil, len(unconfirmed) == 0)
}

// SendAll stores each job under its ID, or reports it. A job that was reported can be
// sent again.
func TestSendAll(t *testing.T) {
	for _, tc := range []struct {
		name string
		run  func(t *testing.T, s *scene)
	}{
		{"each of a thousand jobs is stored and found by its ID", func(t *testing.T, s *scene) {
			jobs := manyJobs(1000)
			jobs[7].Msg.Header = nats.Header{"K": {"v"}}
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", jobs...)
			require.NoError(t, err)
			require.Empty(t, unconfirmed)
			require.Len(t, stored(t, s.js), 1000)
			require.Equal(t, queueing.Waiting, s.outcome(t, "job-999").State)
			require.Equal(t, "ignored", jobs[7].Msg.Subject, "the caller's message is not changed")
			require.Len(t, jobs[7].Msg.Header, 1, "the caller's message is not changed")
			var l ledger
			w, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", queueing.Config{Prefetch: 100})
			require.NoError(t, err)
			run(t, w, func(_ context.Context, job queueing.Message) error {
				assert.Equal(t, strings.Replace(job.ID, "job", "data", 1), string(job.Data))
				if job.ID == "job-7" {
					assert.Equal(t, "v", job.Header.Get("K"))
				}
				return l.did(job, 0)
			})
			time.Sleep(time.Second)
			require.Len(t, l.count(), 1000)
			require.Equal(t, queueing.Done, s.outcome(t, "job-999").State)
		}},

		{"no jobs are no error", func(t *testing.T, s *scene) {
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail")
			require.NoError(t, err)
			require.Empty(t, unconfirmed)
		}},

		{"an ID that occurs twice is stored once", func(t *testing.T, s *scene) {
			jobs := append(manyJobs(300), manyJobs(300)...)
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", jobs...)
			require.NoError(t, err)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.Len(t, stored(t, s.js), 300)
		}},

		{"invalid and refused jobs do not affect the others", func(t *testing.T, s *scene) {
			jobs := manyJobs(300)
			jobs[0].ID = "a.b"
			jobs[1].Msg = nil
			jobs[150].Msg.Data = make([]byte, 1<<20+1)
			jobs[151].Msg.Data = make([]byte, 1<<20-10) // too large with its headers
			jobs[152].Msg.Header = nats.Header{"K": {strings.Repeat("v", 1<<16)}}
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", jobs...)
			require.Equal(t, []queueing.Job{jobs[0], jobs[1], jobs[150], jobs[151], jobs[152]}, unconfirmed)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.ErrorIs(t, err, queueing.ErrID)
			require.ErrorIs(t, err, nats.ErrInvalidMsg)
			require.ErrorIs(t, err, nats.ErrMaxPayload)
			require.ErrorContains(t, err, "header size exceeds")
			require.Len(t, stored(t, s.js), 295)
		}},

		{"without a queue all jobs are reported at once", func(t *testing.T, s *scene) {
			require.NoError(t, s.js.DeleteStream(t.Context(), "JOBS_mail"))
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", manyJobs(1000)...)
			require.Len(t, unconfirmed, 1000)
			require.ErrorIs(t, err, jetstream.ErrNoStreamResponse)
			require.ErrorContains(t, err, "call Provision, or NewWorker first")
			require.Less(t, time.Since(s.start), time.Second)
		}},

		{"a full queue refuses the rest", func(t *testing.T, s *scene) {
			cfg, err := queueing.JobsStreamConfig("mail", queueing.Config{})
			require.NoError(t, err)
			cfg.MaxMsgs = 120
			_, err = s.js.UpdateStream(t.Context(), cfg)
			require.NoError(t, err)
			jobs := manyJobs(300)
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", jobs...)
			require.Equal(t, jobs[120:], unconfirmed)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.ErrorContains(t, err, "maximum messages exceeded")
		}},

		{"without acks the jobs are reported after 5 s and stored once when they are sent again", func(t *testing.T, s *scene) {
			cfg, err := queueing.JobsStreamConfig("mail", queueing.Config{})
			require.NoError(t, err)
			cfg.NoAck = true
			_, err = s.js.UpdateStream(t.Context(), cfg)
			require.NoError(t, err)
			jobs := manyJobs(300)
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", jobs...)
			require.Equal(t, jobs, unconfirmed)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.ErrorIs(t, err, jetstream.ErrAsyncPublishTimeout)
			require.Equal(t, 5*time.Second, time.Since(s.start))
			require.Len(t, stored(t, s.js), 100, "the others were not published")
			cfg.NoAck = false
			_, err = s.js.UpdateStream(t.Context(), cfg)
			require.NoError(t, err)
			unconfirmed, err = queueing.SendAll(t.Context(), s.js, "mail", unconfirmed...)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.Empty(t, unconfirmed)
			require.Len(t, stored(t, s.js), 300)
		}},

		{"a disconnect ends it, and the rest can be sent again", func(t *testing.T, s *scene) {
			s.Link("client").Delay(10 * time.Millisecond)
			time.AfterFunc(200*time.Millisecond, s.Link("client").Cut)
			jobs := manyJobs(5000)
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", jobs...)
			require.Less(t, time.Since(s.start), time.Second)
			s.Link("client").Delay(0)
			require.NotEmpty(t, unconfirmed)
			require.Less(t, len(unconfirmed), 5000)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.ErrorIs(t, err, nats.ErrDisconnected)
			unconfirmed, err = queueing.SendAll(t.Context(), s.js, "mail", unconfirmed...)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.Empty(t, unconfirmed)
			require.Len(t, stored(t, s.js), 5000)
		}},

		{"while it is disconnected it ends after 5 s", func(t *testing.T, s *scene) {
			s.Link("client").Down()
			time.Sleep(time.Second)
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", manyJobs(1000)...)
			require.Len(t, unconfirmed, 1000)
			require.Error(t, err)
			require.Equal(t, 6*time.Second, time.Since(s.start))
		}},

		{"it ends with its context", func(t *testing.T, s *scene) {
			s.Link("client").Delay(10 * time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 55*time.Millisecond)
			defer cancel()
			jobs := manyJobs(5000)
			unconfirmed, err := queueing.SendAll(ctx, s.js, "mail", jobs...)
			require.Equal(t, 55*time.Millisecond, time.Since(s.start))
			s.Link("client").Delay(0)
			time.Sleep(time.Second)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			unconfirmed, err = queueing.SendAll(ctx, s.js, "mail", manyJobs(3)...)
			require.Len(t, unconfirmed, 3)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}},

		{"on a closed connection all jobs are reported", func(t *testing.T, s *scene) {
			js := s.JetStream("closed")
			js.Conn().Close()
			unconfirmed, err := queueing.SendAll(t.Context(), js, "mail", manyJobs(300)...)
			require.Len(t, unconfirmed, 300)
			require.ErrorContains(t, err, "connection closed")
			require.Zero(t, time.Since(s.start))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s)
				sc.start = time.Now()
				tc.run(t, sc)
			})
		})
	}
}

// A denied publish is reported as one: at once by SendAll, after 5 s by Send.
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
		require.Contains(t, unconfirmed, jobs[3])
		require.Zero(t, time.Since(start))

		_, err = queueing.Send(t.Context(), js, "mail", "job-500", &nats.Msg{})
		require.ErrorIs(t, err, nats.ErrPermissionViolation)
		require.ErrorContains(t, err, "jobs.mail.job-500")
		require.Equal(t, 5*time.Second, time.Since(start))

		_, err = queueing.Send(t.Context(), js, "mail", "job-1", &nats.Msg{})
		require.NoError(t, err, "an earlier violation is of no interest")
	})
}

// During disconnects, delays and server restarts, SendAll loses no job that it does not
// report. Repeated until all are confirmed, it stores each job once.
func TestSendAllFaults(t *testing.T) {
	interrupted := 0
	for seed := range *histories {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			sc := newScene(t, s)
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			defer stop()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				s.InjectFaults(ctx, rand.New(rand.NewPCG(seed, 0)), []string{"client"}, 200*time.Millisecond, true)
			}()
			jobs := manyJobs(3000)
			left := jobs
			var err error
			for time.Since(sc.start) < 90*time.Second && len(left) > 0 {
				if left, err = queueing.SendAll(t.Context(), sc.js, "mail", left...); err != nil {
					interrupted++
					require.NotErrorIs(t, err, queueing.ErrID)
					time.Sleep(100 * time.Millisecond)
				}
			}
			<-ended
			require.NoError(t, err, "seed %d", seed)
			require.Less(t, time.Since(sc.start), 2*time.Minute, "within the duplicate window")
			requireConfirmed(t, sc.js, jobs, left, err)
			require.Len(t, stored(t, sc.js), len(jobs), "seed %d", seed)
		})
	}
	require.Positive(t, interrupted)
}
