package queueing_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

// scene is a work queue on a fake clock; log holds what was done, and when.
type scene struct {
	*natstest.Server
	js    jetstream.JetStream
	start time.Time
	log   chan string
}

func newScene(t *testing.T, s *natstest.Server) *scene {
	js := s.JetStream("client")
	require.NoError(t, queueing.Provision(t.Context(), js, "mail", queueing.Config{}))
	return &scene{s, js, time.Now(), make(chan string, 1000)}
}

func (s *scene) note(format string, args ...any) {
	s.log <- fmt.Sprintf("%v %s", time.Since(s.start).Round(10*time.Millisecond), fmt.Sprintf(format, args...))
}

func (s *scene) send(t *testing.T, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := queueing.Send(t.Context(), s.js, "mail", id, &nats.Msg{Data: []byte(id)})
		require.NoError(t, err)
	}
}

// work runs a worker that logs each job; the handler takes this long, and returns result.
func (s *scene) work(t *testing.T, name string, cfg queueing.Config, takes time.Duration, result error) (stop func()) {
	t.Helper()
	w, err := queueing.NewWorker(t.Context(), s.JetStream(name), "mail", cfg)
	require.NoError(t, err)
	return run(t, w, func(_ context.Context, msg queueing.Message) error {
		s.note("%s has %s", name, msg.Data)
		time.Sleep(takes)
		return result
	})
}

func (s *scene) noted() (all []string) {
	for len(s.log) > 0 {
		all = append(all, <-s.log)
	}
	return all
}

func (s *scene) outcome(t *testing.T, id string) queueing.Outcome {
	t.Helper()
	o, err := queueing.Check(t.Context(), s.js, "mail", id)
	require.NoError(t, err)
	return o
}

// Every case runs for five minutes of fake time; want lists the worker and the time of
// each delivery, and the outcome of job-1.
func TestWorker(t *testing.T) {
	waiting, done := queueing.Outcome{State: queueing.Waiting}, queueing.Outcome{State: queueing.Done}
	failed := func(reason string, deliveries int) queueing.Outcome {
		return queueing.Outcome{State: queueing.Failed, Reason: reason, Deliveries: deliveries}
	}
	const lost = "no ack: each worker crashed, or was disconnected for longer than AckWait"
	for _, tc := range []struct {
		name string
		act  func(t *testing.T, s *scene)
		want []string
		is   queueing.Outcome
	}{
		{"a job without a worker is waiting", func(t *testing.T, s *scene) { s.send(t, "job-1") }, nil, waiting},

		{"a job is done once", func(t *testing.T, s *scene) {
			s.work(t, "a", queueing.Config{}, time.Second, nil)
			s.send(t, "job-1")
		}, []string{"0s a has job-1"}, done},

		{"the job of a worker that crashed is redelivered after AckWait", func(t *testing.T, s *scene) {
			s.work(t, "a", queueing.Config{}, 10*time.Second, nil)
			s.send(t, "job-1")
			time.Sleep(time.Second)
			s.Link("a").Down() // its ack is lost
			s.work(t, "b", queueing.Config{}, 0, nil)
		}, []string{"0s a has job-1", "30s b has job-1"}, done},

		{"a job longer than AckWait keeps its worker", func(t *testing.T, s *scene) {
			s.work(t, "a", queueing.Config{}, 2*time.Minute, nil)
			s.send(t, "job-1")
			time.Sleep(time.Second)
			s.work(t, "b", queueing.Config{}, 0, nil)
		}, []string{"0s a has job-1"}, done},

		{"prefetched jobs keep their worker too", func(t *testing.T, s *scene) {
			s.send(t, "job-1", "job-2", "job-3")
			s.work(t, "a", queueing.Config{Prefetch: 2}, 50*time.Second, nil)
			time.Sleep(time.Second)
			s.work(t, "b", queueing.Config{}, 0, nil)
		}, []string{"0s a has job-1", "50s a has job-2", "1m40s a has job-3"}, done},

		{"without Prefetch a worker receives only what it can start", func(t *testing.T, s *scene) {
			s.send(t, "job-1", "job-2")
			s.work(t, "a", queueing.Config{}, 50*time.Second, nil)
			time.Sleep(time.Second)
			s.work(t, "b", queueing.Config{}, 0, nil)
		}, []string{"0s a has job-1", "1s b has job-2"}, done},

		{"a job that fails is retried after a backoff and fails after MaxDeliver", func(t *testing.T, s *scene) {
			s.work(t, "a", queueing.Config{}, 0, errors.New("mailbox full"))
			s.send(t, "job-1")
		}, []string{"0s a has job-1", "1s a has job-1", "3s a has job-1", "7s a has job-1", "15s a has job-1"}, failed("mailbox full", 5)},

		{"a poison message fails after one attempt", func(t *testing.T, s *scene) {
			s.work(t, "a", queueing.Config{}, 0, fmt.Errorf("%w: no address", queueing.ErrPoison))
			s.send(t, "job-1")
		}, []string{"0s a has job-1"}, failed("queueing: poison message: no address", 1)},

		{"a job whose workers all crashed fails too", func(t *testing.T, s *scene) {
			s.send(t, "job-1")
			for _, name := range []string{"a", "b"} {
				s.work(t, name, queueing.Config{MaxDeliver: 2}, time.Second, nil)
				time.Sleep(500 * time.Millisecond)
				s.Link(name).Down()
				time.Sleep(29500 * time.Millisecond)
			}
			s.work(t, "c", queueing.Config{MaxDeliver: 2}, 0, nil)
		}, []string{"0s a has job-1", "30s b has job-1"}, failed(lost, 2)},

		{"the backoff doubles up to a minute", func(t *testing.T, s *scene) {
			s.work(t, "a", queueing.Config{Backoff: 25 * time.Second}, 0, errors.New("no"))
			s.send(t, "job-1")
		}, []string{"0s a has job-1", "25s a has job-1", "1m15s a has job-1", "2m15s a has job-1", "3m15s a has job-1"}, failed("no", 5)},

		{"after a disconnect a worker does not start a job in flight again", func(t *testing.T, s *scene) {
			s.work(t, "a", queueing.Config{Prefetch: 1}, 100*time.Second, nil)
			s.send(t, "job-1")
			time.Sleep(time.Second)
			s.Link("a").Down()
			time.Sleep(time.Minute)
			s.Link("a").Up()
		}, []string{"0s a has job-1"}, done},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s)
				tc.act(t, sc)
				time.Sleep(5*time.Minute - time.Since(sc.start))
				require.Equal(t, tc.want, sc.noted())
				require.Equal(t, tc.is, sc.outcome(t, "job-1"))
			})
		})
	}
}

// Run returns an error if the queue was deleted, whether or not the server reports it.
func TestDeleted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		remove func(ctx context.Context, s *scene) error
	}{
		{"the consumer while the worker waits", func(ctx context.Context, s *scene) error {
			return s.js.DeleteConsumer(ctx, "JOBS_mail", "workers")
		}},
		{"the stream while the worker waits", func(ctx context.Context, s *scene) error { return s.js.DeleteStream(ctx, "JOBS_mail") }},
		{"the stream while the worker is disconnected", func(ctx context.Context, s *scene) error {
			s.Link("a").Down()
			defer s.Link("a").Up()
			return s.js.DeleteStream(ctx, "JOBS_mail")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s)
				w, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", queueing.Config{})
				require.NoError(t, err)
				ended := make(chan error)
				go func() { ended <- w.Run(t.Context(), func(context.Context, queueing.Message) error { return nil }) }()
				time.Sleep(time.Second)
				require.NoError(t, tc.remove(t.Context(), sc))
				err = <-ended
				require.ErrorContains(t, err, "queueing: queue mail: ")
				require.Less(t, time.Since(sc.start), time.Minute)
			})
		})
	}
}
