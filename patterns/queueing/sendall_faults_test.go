package queueing_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

// SendAll ends, and reports each job that it cannot confirm.
func TestSendAllInterrupted(t *testing.T) {
	for _, tc := range []struct {
		name string
		run  func(t *testing.T, s *scene)
	}{
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
			require.ErrorIs(t, err, nats.ErrTimeout)
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

		{"after a disconnect the jobs in transit are reported", func(t *testing.T, s *scene) {
			s.Link("client").Delay(10 * time.Millisecond)
			time.AfterFunc(200*time.Millisecond, s.Link("client").Cut)
			jobs := manyJobs(5000)
			unconfirmed, err := queueing.SendAll(t.Context(), s.js, "mail", jobs...)
			require.Less(t, time.Since(s.start), 7*time.Second)
			s.Link("client").Delay(0)
			require.NotEmpty(t, unconfirmed)
			requireConfirmed(t, s.js, jobs, unconfirmed, err)
			require.ErrorIs(t, err, nats.ErrTimeout)
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

		{"while it is disconnected it ends after 5 s, also with a later deadline", func(t *testing.T, s *scene) {
			s.Link("client").Down()
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			unconfirmed, err := queueing.SendAll(ctx, s.js, "mail", manyJobs(1000)...)
			require.Len(t, unconfirmed, 1000)
			require.ErrorIs(t, err, nats.ErrTimeout)
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
			unconfirmed, err = queueing.SendAll(ctx, s.js, "mail", queueing.Job{ID: "late", Msg: &nats.Msg{}})
			require.Len(t, unconfirmed, 1)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			time.Sleep(time.Second)
			require.NotContains(t, stored(t, s.js), "jobs.mail.late", "not published")
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
