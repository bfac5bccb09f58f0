package heartbeat_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/heartbeat"
)

var histories = flag.Uint64("histories", 12, "fault histories to run")

// For 20 s the Monitor is disconnected. It reports nobody until it has reconnected, and
// then the instance that crashed meanwhile.
func TestMonitorDisconnected(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		staying, crashing := s.Connect("staying"), s.Connect("crashing")
		time.AfterFunc(10*time.Second, s.Link("monitor").Down)
		time.AfterFunc(15*time.Second, s.Link("crashing").Down)
		time.AfterFunc(30*time.Second, s.Link("monitor").Up)
		got := watch(t, s, time.Minute, func(ctx context.Context) {
			var both sync.WaitGroup
			defer both.Wait()
			both.Go(func() { send(ctx, t, staying, "staying", heartbeat.Config{}) })
			both.Go(func() {
				// It cannot publish its goodbye, and returns that.
				assert.Error(t, heartbeat.Send(ctx, crashing, "crashing", heartbeat.Config{}))
			})
		})
		require.Len(t, got, 3, got)
		require.ElementsMatch(t, []string{"0s staying up", "0s crashing up"}, got[:2])
		lost, err := time.ParseDuration(strings.Fields(got[2])[0])
		require.NoError(t, err)
		require.Contains(t, got[2], "crashing lost")
		require.InDelta(t, 33, lost.Seconds(), 2.5) // one TTL after the reconnect
	})
}

// When heartbeats were dropped, nobody is Lost for it.
func TestMonitorDropsBeats(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var log bytes.Buffer
		nc := s.Connect("monitor", nats.SyncQueueLen(8)) // a buffer of eight heartbeats
		mon, err := heartbeat.NewMonitor(ctx, nc, heartbeat.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		var instances sync.WaitGroup
		for i := range 40 {
			nc := s.Connect(fmt.Sprint("i", i))
			instances.Go(func() { send(ctx, t, nc, fmt.Sprintf("a-%d", i), heartbeat.Config{}) })
		}
		lost := 0
		require.NoError(t, mon.Run(ctx, func(c heartbeat.Change) {
			if time.Sleep(200 * time.Millisecond); c.State == heartbeat.Lost {
				lost++
			}
		}))
		instances.Wait()
		require.Contains(t, log.String(), "heartbeats were dropped")
		require.Zero(t, lost, "no instance crashed")
	})
}

// Lost is a suspicion: this instance runs, but is disconnected.
func TestSuspicion(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		nc := s.Connect("instance")
		time.AfterFunc(10*time.Second, s.Link("instance").Down)
		time.AfterFunc(20*time.Second, s.Link("instance").Up)
		got := watch(t, s, time.Minute, func(ctx context.Context) { send(ctx, t, nc, "a-1", heartbeat.Config{}) })
		require.Len(t, got, 3, got)
		require.Contains(t, got[1], "a-1 lost")
		require.Contains(t, got[2], "a-1 up")
	})
}

// In many histories of disconnects, delays and restarts, a running instance is not
// Lost for good, and a crashed one not Up for good. The seed of a history that fails
// is printed; -histories 200 runs more of them.
func TestFaults(t *testing.T) {
	for seed := range *histories {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			chance := rand.New(rand.NewPCG(seed, 0))
			running, crashing := s.Connect("running"), s.Connect("crashing")
			state := map[string]heartbeat.State{}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			mon, err := heartbeat.NewMonitor(ctx, s.Connect("monitor"), heartbeat.Config{Steady: time.Second})
			require.NoError(t, err)
			var all sync.WaitGroup
			all.Go(func() { send(ctx, t, running, "running", heartbeat.Config{}) })
			all.Go(func() { _ = heartbeat.Send(ctx, crashing, "crashing", heartbeat.Config{}) })
			all.Go(func() {
				for range 6 {
					time.Sleep(time.Duration(chance.IntN(5000)) * time.Millisecond)
					name := []string{"running", "crashing", "monitor"}[chance.IntN(3)]
					switch chance.IntN(4) {
					case 0:
						s.Link(name).Cut()
					case 1:
						s.Link(name).Down()
						time.Sleep(time.Duration(chance.IntN(8000)) * time.Millisecond)
						s.Link(name).Up()
					case 2:
						s.Link(name).Delay(time.Duration(chance.IntN(3000)) * time.Millisecond)
					case 3:
						s.Stop()
						time.Sleep(time.Duration(chance.IntN(8000)) * time.Millisecond)
						assert.NoError(t, s.Start())
					}
				}
				for _, name := range []string{"running", "monitor"} {
					s.Link(name).Delay(0)
				}
				crashing.Close()
			})
			require.NoError(t, mon.Run(ctx, func(c heartbeat.Change) { state[c.ID] = c.State }), "seed %d", seed)
			all.Wait()
			require.Contains(t, []heartbeat.State{heartbeat.Up, heartbeat.Left}, state["running"], "seed %d", seed)
			require.Equal(t, heartbeat.Lost, state["crashing"], "seed %d", seed)
		})
	}
}

// A disconnect before the last heartbeat extends no deadline.
func TestMonitorDisconnectedBefore(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		crashing := s.Connect("crashing")
		time.AfterFunc(10500*time.Millisecond, s.Link("monitor").Down)
		time.AfterFunc(11500*time.Millisecond, s.Link("monitor").Up)
		time.AfterFunc(40500*time.Millisecond, crashing.Close)
		got := watch(t, s, time.Minute, func(ctx context.Context) {
			assert.ErrorIs(t, heartbeat.Send(ctx, crashing, "crashing", heartbeat.Config{}), nats.ErrConnectionClosed)
		})
		require.Equal(t, []string{"0s crashing up", "43s crashing lost"}, got)
	})
}
