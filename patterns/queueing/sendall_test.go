package queueing_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

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
			require.ErrorContains(t, err, `"job-999": not published`)
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
