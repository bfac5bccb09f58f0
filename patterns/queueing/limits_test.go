package queueing_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

// A standby receives a job only if no worker of a higher priority is waiting: they are
// busy, or have stopped.
func TestStandby(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		sc.work(t, "standby", queueing.Config{Priority: 1}, time.Second, nil)
		time.Sleep(time.Second)
		stop := sc.work(t, "first", queueing.Config{}, time.Second, nil)
		for i := range 3 { // one at a time: the first receives them all
			time.Sleep(2 * time.Second)
			sc.send(t, fmt.Sprint("calm-", i))
		}
		time.Sleep(3 * time.Second)
		sc.send(t, "rush-1", "rush-2") // both at once: one goes to the standby
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

// MaxAckPending limits all workers together.
func TestMaxAckPending(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("client")
		cfg := queueing.Config{MaxAckPending: 2, Concurrency: 2, Backoff: 10 * time.Second}
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

// A job in backoff counts too: enough of them stop the delivery of others.
func TestMaxAckPendingInBackoff(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("client")
		cfg := queueing.Config{MaxAckPending: 1, Backoff: 10 * time.Second, MaxDeliver: 2}
		require.NoError(t, queueing.Provision(t.Context(), js, "mail", cfg))
		sc := &scene{s, js, time.Now(), make(chan string, 100)}
		sc.work(t, "a", cfg, 0, errors.New("no"))
		sc.send(t, "job-1", "job-2")
		time.Sleep(time.Minute)
		require.Equal(t, []string{"0s a has job-1", "10s a has job-1", "10s a has job-2", "20s a has job-2"}, sc.noted())
	})
}
