package queueing_test

import (
	"context"
	"errors"
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

// What a worker was given when it is told to stop is done, if Grace allows; what
// it was not given is another's, at once.
func TestStop(t *testing.T) {
	for _, f := range forms {
		t.Run(f.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				var first, second ledger
				b := bench{form: f, queue: "mail", connect: func(name string) *nats.Conn { return s.Connect(name) }}
				cfg := queueing.Config{}
				if f.name == "work queue" {
					cfg.Ahead = 2
				}
				stop := b.start(t, "a", cfg, func(_ context.Context, msg *nats.Msg) error {
					time.Sleep(time.Second)
					return first.did(msg, 0)
				})
				nc := s.Connect("client")
				for _, id := range []string{"job-1", "job-2", "job-3"} {
					require.NoError(t, b.send(t.Context(), nc, "mail", id, &nats.Msg{}))
				}
				time.Sleep(time.Millisecond)
				b.start(t, "b", cfg, func(_ context.Context, msg *nats.Msg) error { return second.did(msg, 0) })
				stop()
				require.Len(t, first.count(), 3)
				require.NoError(t, b.send(t.Context(), nc, "mail", "job-4", &nats.Msg{}))
				time.Sleep(time.Millisecond)
				require.Len(t, second.count(), 1)
			})
		})
	}
}

// A job that is on its way when a worker is told to stop is done too.
func TestStopOnTheWay(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		s.Link("a").Delay(300 * time.Millisecond) // so long is the server unaware that it has stopped
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

// However long its handler needs, a worker told to stop is gone after Grace, and
// another has its job at once.
func TestGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		w, err := queueing.NewWorker(t.Context(), s.JetStream("a"), "mail", queueing.Config{Ahead: 1})
		require.NoError(t, err)
		stop := run(t, w, func(ctx context.Context, msg *nats.Msg) error {
			sc.note("a has %s", msg.Data)
			<-ctx.Done()
			sc.note("a lets go of %s", msg.Data)
			return nil // too late: it has been handed back
		})
		sc.send(t, "job-1", "job-2")
		time.Sleep(time.Minute)
		sc.work(t, "b", queueing.Config{}, 0, nil)
		stop()
		time.Sleep(time.Minute)
		require.ElementsMatch(t, []string{"0s a has job-1", "1m10s a lets go of job-1", "1m10s b has job-1", "1m10s b has job-2"}, sc.noted())
	})
}

// A member told to stop does not work through what has piled up for longer than
// Grace: the rest is lost, and its log says how much.
func TestGraceOfMember(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		warned := make(chan string, 10)
		cfg := queueing.Config{InHand: 2, Log: slog.New(slog.NewTextHandler(lines(warned), nil))}
		m, err := queueing.NewMember(t.Context(), s.Connect("a"), "mail", cfg)
		require.NoError(t, err)
		var l ledger
		stop := run(t, m, func(ctx context.Context, msg *nats.Msg) error {
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
		require.Contains(t, <-warned, "jobs=12", "the two in hand were cut short, and told so")
	})
}

// Told to stop while it is cut off, a Member does what it has, and does not wait for
// the server.
func TestStopCutOff(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		m, err := queueing.NewMember(t.Context(), s.Connect("a"), "mail", queueing.Config{InHand: 2})
		require.NoError(t, err)
		var l ledger
		stop := run(t, m, func(_ context.Context, msg *nats.Msg) error {
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

// A standby has a job only if nobody before it waits for one: because they are
// busy, or gone.
func TestStandby(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		sc.work(t, "standby", queueing.Config{Priority: 1}, time.Second, nil)
		time.Sleep(time.Second)
		stop := sc.work(t, "first", queueing.Config{}, time.Second, nil)
		for i := range 3 { // one at a time: the first has them all
			time.Sleep(2 * time.Second)
			sc.send(t, fmt.Sprint("calm-", i))
		}
		time.Sleep(3 * time.Second)
		sc.send(t, "rush-1", "rush-2") // both at once: one flows over
		time.Sleep(3 * time.Second)
		stop()
		sc.send(t, "alone")
		time.Sleep(time.Second)
		require.ElementsMatch(t, []string{
			"3s first has calm-0", "5s first has calm-1", "7s first has calm-2",
			"10s first has rush-1", "10s standby has rush-2", "13s standby has alone",
		}, sc.noted())
	})
}

// InFlight holds for all workers together.
func TestInFlight(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("client")
		cfg := queueing.Config{InFlight: 2, InHand: 2, Backoff: 10 * time.Second}
		require.NoError(t, queueing.Provision(t.Context(), js, "mail", cfg))
		sc := &scene{s, js, time.Now(), make(chan string, 100)}
		sc.work(t, "a", cfg, time.Second, nil)
		sc.work(t, "b", cfg, time.Second, nil)
		sc.send(t, "job-1", "job-2", "job-3", "job-4", "job-5")
		time.Sleep(time.Minute)
		at := map[string]int{}
		for _, line := range sc.noted() {
			var when, who string
			_, err := fmt.Sscan(line, &when, &who)
			require.NoError(t, err)
			at[when]++
		}
		require.Equal(t, map[string]int{"0s": 2, "1s": 2, "2s": 1}, at)
	})
}

// A job between two tries is in flight too: enough of them hold up the rest.
func TestInFlightBetweenTries(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("client")
		cfg := queueing.Config{InFlight: 1, Backoff: 10 * time.Second, Tries: 2}
		require.NoError(t, queueing.Provision(t.Context(), js, "mail", cfg))
		sc := &scene{s, js, time.Now(), make(chan string, 100)}
		sc.work(t, "a", cfg, 0, errors.New("no"))
		sc.send(t, "job-1", "job-2")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"0s a has job-1", "10s a has job-1", "10s a has job-2", "20s a has job-2"}, sc.noted())
	})
}
