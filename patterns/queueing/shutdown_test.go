package queueing_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

// A worker that stops finishes the jobs that it has received. The other jobs go to
// another worker at once.
func TestStop(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				var first, second ledger
				b := bench{form: f, queue: "mail", connect: func(name string) *nats.Conn { return s.Connect(name) }}
				cfg := queueing.Config{}
				if f.name == "work queue" {
					cfg.Prefetch = 2
				}
				stop := b.start(t, "a", cfg, func(_ context.Context, msg queueing.Message) error {
					time.Sleep(time.Second)
					return first.did(msg, 0)
				})
				nc := s.Connect("client")
				for _, id := range []string{"job-1", "job-2", "job-3"} {
					require.NoError(t, b.send(t.Context(), nc, "mail", id, &nats.Msg{}))
				}
				time.Sleep(time.Millisecond)
				b.start(t, "b", cfg, func(_ context.Context, msg queueing.Message) error { return second.did(msg, 0) })
				stop()
				require.Len(t, first.count(), 3)
				require.NoError(t, b.send(t.Context(), nc, "mail", "job-4", &nats.Msg{}))
				time.Sleep(time.Millisecond)
				require.Len(t, second.count(), 1)
			})
		})
	}
}

// A job that the server has sent when a worker stops is handled too.
func TestStopOnTheWay(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		s.Link("a").Delay(300 * time.Millisecond) // the server receives the end of the pull request so late
		stop := sc.work(t, "a", queueing.Config{}, 0, nil)
		time.Sleep(time.Second)
		sc.start = time.Now()
		time.AfterFunc(100*time.Millisecond, func() {
			_, err := queueing.Send(t.Context(), sc.js, "mail", "job-1", &nats.Msg{Data: []byte("job-1")})
			assert.NoError(t, err)
		})
		stop()
		time.Sleep(time.Second)
		require.Equal(t, []string{"100ms a has job-1"}, sc.noted())
		require.Equal(t, queueing.Done, sc.outcome(t, "job-1").State)
	})
}

// A job that arrives after Grace gets a nak, also while a handler ignores its context.
func TestGraceOnTheWay(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		s.Link("a").Delay(300 * time.Millisecond) // the server receives the end of the pull request so late
		stop := sc.work(t, "a", queueing.Config{Prefetch: 3, Grace: 100 * time.Millisecond}, time.Minute, nil)
		time.Sleep(time.Second)
		sc.start = time.Now()
		sc.send(t, "job-1")
		time.Sleep(500 * time.Millisecond)
		sc.work(t, "b", queueing.Config{Priority: 9}, 0, nil)
		time.AfterFunc(150*time.Millisecond, func() {
			_, err := queueing.Send(t.Context(), sc.js, "mail", "job-2", &nats.Msg{Data: []byte("job-2")})
			assert.NoError(t, err)
		})
		stop()
		require.ElementsMatch(t, []string{"0s a has job-1", "900ms b has job-1", "950ms b has job-2"}, sc.noted())
	})
}

// After Grace a worker naks its jobs, and another worker receives them at once.
func TestGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		w, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", queueing.Config{Prefetch: 1})
		require.NoError(t, err)
		stop := run(t, w, func(ctx context.Context, msg queueing.Message) error {
			sc.note("a has %s", msg.Data)
			<-ctx.Done()
			sc.note("a returns from %s", msg.Data)
			return nil // without effect, after the nak
		})
		sc.send(t, "job-1", "job-2")
		time.Sleep(time.Minute)
		sc.work(t, "b", queueing.Config{}, 0, nil)
		stop()
		time.Sleep(time.Minute)
		require.ElementsMatch(t, []string{"0s a has job-1", "1m10s a returns from job-1", "1m10s b has job-1", "1m10s b has job-2"}, sc.noted())
	})
}

// A handler that fails after Grace has no effect, also in the last attempt: the job has not
// failed.
func TestGraceLastAttempt(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		w, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", queueing.Config{MaxDeliver: 1})
		require.NoError(t, err)
		stop := run(t, w, func(ctx context.Context, _ queueing.Message) error { <-ctx.Done(); return ctx.Err() })
		sc.send(t, "job-1")
		time.Sleep(time.Second)
		stop()
		time.Sleep(time.Second)
		require.Equal(t, queueing.Waiting, sc.outcome(t, "job-1").State)
		sc.work(t, "b", queueing.Config{}, 0, nil)
		time.Sleep(time.Second)
		require.Equal(t, queueing.Done, sc.outcome(t, "job-1").State)
	})
}

// A handler that ignores its context delays Run, but after Grace another worker receives
// its job and the prefetched ones.
func TestGraceIgnored(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		stop := sc.work(t, "a", queueing.Config{Prefetch: 1}, time.Hour, nil)
		sc.send(t, "job-1", "job-2")
		time.Sleep(time.Minute)
		sc.work(t, "b", queueing.Config{}, 0, nil)
		stop()
		require.Equal(t, time.Hour, time.Since(sc.start).Round(time.Second))
		require.ElementsMatch(t, []string{"0s a has job-1", "1m10s b has job-1", "1m10s b has job-2"}, sc.noted())
	})
}

// A member handles its buffered jobs for no longer than Grace. The rest is lost, and the
// log has their number.
func TestGraceOfMember(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		warned := make(chan string, 10)
		cfg := queueing.Config{Concurrency: 2, Log: slog.New(slog.NewTextHandler(lines(warned), nil))}
		m, err := queueing.NewMember(t.Context(), s.Connect("a"), "mail", cfg)
		require.NoError(t, err)
		var l ledger
		stop := run(t, m, func(ctx context.Context, msg queueing.Message) error {
			select {
			case <-time.After(3 * time.Second):
				return l.did(msg, 0)
			case <-ctx.Done():
				return nil
			}
		})
		client := s.Connect("client")
		for i := range 20 {
			require.NoError(t, queueing.Offer(t.Context(), client, "mail", fmt.Sprint("job-", i), &nats.Msg{}))
		}
		time.Sleep(time.Millisecond)
		start := time.Now()
		stop()
		require.Equal(t, 10*time.Second, time.Since(start))
		require.Len(t, l.count(), 6, "three each")
		require.Contains(t, <-warned, "jobs=12", "without the two whose handlers were cancelled")
	})
}

// A Worker that stops while it is disconnected does not wait for the server.
func TestStopDisconnectedWorker(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		stop := sc.work(t, "a", queueing.Config{}, 0, nil)
		time.Sleep(time.Second)
		s.Link("a").Down()
		time.Sleep(time.Second)
		start := time.Now()
		stop()
		require.LessOrEqual(t, time.Since(start), time.Second, "to flush the acks")
	})
}

// A Member that stops while it is disconnected handles what it has buffered, and does
// not wait for the server.
func TestStopDisconnected(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		m, err := queueing.NewMember(t.Context(), s.Connect("a"), "mail", queueing.Config{Concurrency: 2})
		require.NoError(t, err)
		var l ledger
		stop := run(t, m, func(_ context.Context, msg queueing.Message) error {
			time.Sleep(100 * time.Millisecond)
			return l.did(msg, 0)
		})
		client := s.Connect("client")
		for i := range 6 {
			require.NoError(t, queueing.Offer(t.Context(), client, "mail", fmt.Sprint("job-", i), &nats.Msg{}))
		}
		require.NoError(t, client.Flush())
		time.Sleep(time.Millisecond)
		s.Link("a").Down()
		time.Sleep(10 * time.Millisecond)
		start := time.Now()
		stop()
		require.InDelta(t, 0.3, time.Since(start).Seconds(), 0.1)
		require.Len(t, l.count(), 6)
	})
}
