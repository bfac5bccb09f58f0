package backoff_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

// A worker is disconnected after it scheduled a message, and before the ack. The message is
// redelivered after AckWait (4s), and not attempted before its delay is over.
func TestLostAck(t *testing.T) {
	for _, tc := range []struct {
		name  string
		delay time.Duration
	}{
		{"the delay is longer than AckWait", 10 * time.Second},
		{"the delay is shorter than AckWait", 2 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("worker")
				cfg := backoff.Config{ScheduleAfter: time.Second, Timeout: 2 * time.Second,
					Policy: policy(retry.Config{Policy: retry.Policy{Initial: tc.delay, Max: tc.delay}})}
				b := newBank(0, until(time.Second))
				start(t, js, cfg, func(ctx context.Context, msg backoff.Message) error {
					if msg.Delivery == 1 { // the original is read after 100ms, the schedule arrives after 200ms, the ack after 300ms
						s.Link("worker").Delay(100 * time.Millisecond)
						time.AfterFunc(250*time.Millisecond, func() { s.Link("worker").Cut(); s.Link("worker").Delay(0) })
					}
					return b.book(ctx, msg)
				})
				send(t, s.JetStream("shop"), cfg, "pay-1")
				time.Sleep(400 * time.Millisecond)
				cons, err := js.Consumer(t.Context(), "BACKOFF_bank", "workers")
				require.NoError(t, err)
				require.Equal(t, 1, cons.CachedInfo().NumAckPending, "the ack is lost")
				time.Sleep(time.Minute)
				calls := b.all()
				require.Len(t, calls, 2)
				require.Equal(t, tc.delay, calls[1].at.Truncate(time.Second))
				require.Equal(t, 2, calls[1].attempt)
				cons, err = js.Consumer(t.Context(), "BACKOFF_bank", "workers")
				require.NoError(t, err)
				require.LessOrEqual(t, cons.CachedInfo().Delivered.Consumer, uint64(3), "the redelivered original is acked")
				_, left := stream(t, js)
				require.Zero(t, left)
			})
		})
	}
}

// A worker is disconnected after it stored a failed message, and before the term. The
// message is not attempted again, and its reason does not change.
func TestLostTerm(t *testing.T) {
	for name, err := range map[string]error{"poison": backoff.ErrPoison, "the last attempt": errDown} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, cfg := s.JetStream("worker"), backoff.Config{MaxDeliver: 1, Timeout: 2 * time.Second}
				if err == backoff.ErrPoison {
					cfg.MaxDeliver = 5
				}
				calls := 0
				stop := start(t, js, cfg, func(context.Context, backoff.Message) error {
					if calls++; calls == 1 { // the original is read after 100ms, the copy arrives after 200ms, the term after 300ms
						s.Link("worker").Delay(100 * time.Millisecond)
						time.AfterFunc(250*time.Millisecond, func() { s.Link("worker").Cut(); s.Link("worker").Delay(0) })
					}
					return err
				})
				shop := s.JetStream("shop")
				send(t, shop, cfg, "pay-1")
				time.Sleep(time.Minute)
				stop()
				require.Equal(t, 1, calls)
				_, reason := failed(t, shop, "pay-1")
				require.Equal(t, err.Error(), reason)
			})
		})
	}
}

// An attempt ignores its context, takes longer than AckWait (2s), and fails when another
// worker has done the message: nothing is scheduled or stored as failed.
func TestLateWorker(t *testing.T) {
	for name, err := range map[string]error{"poison": backoff.ErrPoison, "a failure": errDown} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				cfg := backoff.Config{Timeout: time.Second, Concurrency: 1, Policy: policy(retry.Config{Policy: retry.Policy{Initial: 10 * time.Second, Max: time.Hour}})}
				var calls atomic.Int64
				for _, worker := range []string{"one", "two"} {
					start(t, s.JetStream(worker), cfg, func(context.Context, backoff.Message) error {
						if calls.Add(1) > 1 {
							return nil
						}
						time.Sleep(4 * time.Second)
						return err
					})
					time.Sleep(7 * time.Millisecond)
				}
				js := s.JetStream("shop")
				send(t, js, cfg, "pay-1")
				time.Sleep(time.Minute)
				require.EqualValues(t, 2, calls.Load())
				_, left := stream(t, js)
				require.Zero(t, left)
			})
		})
	}
}

// A late worker reads the original 50ms before another worker acks it, and publishes the
// copy 50ms after that: the server rejects the copy.
func TestLateCopy(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cfg := backoff.Config{Timeout: time.Second, Concurrency: 1}
		var calls atomic.Int64
		for _, worker := range []string{"one", "two"} {
			start(t, s.JetStream(worker), cfg, func(context.Context, backoff.Message) error {
				if calls.Add(1) > 1 {
					time.Sleep(1150 * time.Millisecond) // less than AckWait
					return nil
				}
				time.Sleep(3 * time.Second)
				s.Link(worker).Delay(100 * time.Millisecond)
				return backoff.ErrPoison
			})
			time.Sleep(7 * time.Millisecond)
		}
		js := s.JetStream("shop")
		send(t, js, cfg, "pay-1")
		time.Sleep(3120 * time.Millisecond)
		_, left := stream(t, js)
		require.Equal(t, 1, left)
		time.Sleep(time.Minute)
		require.EqualValues(t, 2, calls.Load())
		_, left = stream(t, js)
		require.Zero(t, left)
	})
}

// A worker that crashes with a message has used an attempt. After MaxDeliver attempts the
// message fails.
func TestCrash(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		shop := s.JetStream("shop")
		cfg := backoff.Config{MaxDeliver: 3, Timeout: 2 * time.Second}
		send(t, shop, cfg, "pay-1")
		var attempts []int
		for _, name := range []string{"a", "b", "c", "d"} {
			stop := start(t, s.JetStream(name), cfg, func(_ context.Context, msg backoff.Message) error {
				attempts = append(attempts, msg.Delivery)
				s.Link(name).Down()
				return nil
			})
			time.Sleep(6 * time.Second)
			stop()
		}
		require.Equal(t, []int{1, 2, 3}, attempts)
		counted, reason := failed(t, shop, "pay-1")
		require.Equal(t, 3, counted)
		require.Contains(t, reason, "no ack")
	})
}

// A schedule survives restarts of the server. If it was due meanwhile, the message is
// delivered at once.
func TestRestart(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("worker")
		cfg := backoff.Config{Policy: policy(retry.Config{Policy: retry.Policy{Initial: time.Minute, Max: time.Hour}})}
		b := newBank(0, until(90*time.Second))
		start(t, js, cfg, b.book)
		send(t, js, cfg, "pay-1")
		time.Sleep(30 * time.Second)
		s.Stop()
		require.NoError(t, s.Start())
		time.Sleep(time.Minute) // it was attempted at 60s, and waits until 180s
		s.Stop()
		time.Sleep(5 * time.Minute)
		require.NoError(t, s.Start())
		time.Sleep(time.Minute)
		calls := b.all()
		require.Len(t, calls, 3)
		require.Equal(t, time.Minute, calls[1].at.Truncate(time.Second))
		require.Less(t, calls[2].at, 400*time.Second)
	})
}

// A restart of the server can shorten the delay of a nak by up to a second: the server
// stores the time of a delivery in whole seconds.
func TestRestartIsEarly(t *testing.T) {
	earliest := time.Hour
	for _, into := range []time.Duration{0, 200, 400, 600, 800} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("worker")
			cfg := backoff.Config{Policy: policy(retry.Config{Policy: retry.Policy{Initial: 4 * time.Second, Max: time.Hour}})}
			time.Sleep(into * time.Millisecond)
			b := newBank(0, until(time.Second))
			start(t, js, cfg, b.book)
			send(t, js, cfg, "pay-1")
			time.Sleep(time.Second)
			s.Stop()
			require.NoError(t, s.Start())
			time.Sleep(time.Minute)
			calls := b.all()
			require.Len(t, calls, 2)
			earliest = min(earliest, calls[1].at)
		})
	}
	require.Less(t, earliest, 4*time.Second)
	require.Greater(t, earliest, 3*time.Second)
}
