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

var histories = flag.Uint64("histories", 12, "fault histories to go through")

// For 20s the Monitor hears nobody, because it is cut off. It says nothing of
// anybody until it is back, and then misses who went meanwhile.
func TestMonitorCutOff(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		staying, dying := s.Connect("staying"), s.Connect("dying")
		time.AfterFunc(10*time.Second, s.Link("monitor").Down)
		time.AfterFunc(15*time.Second, s.Link("dying").Down)
		time.AfterFunc(30*time.Second, s.Link("monitor").Up)
		got := watch(t, s, time.Minute, func(ctx context.Context) {
			var both sync.WaitGroup
			defer both.Wait()
			both.Go(func() { live(ctx, t, staying, "staying", heartbeat.Config{}) })
			both.Go(func() {
				// Its goodbye cannot go out, and it says so.
				assert.Error(t, heartbeat.Send(ctx, dying, "dying", heartbeat.Config{}))
			})
		})
		require.Len(t, got, 3, got)
		require.ElementsMatch(t, []string{"0s staying up", "0s dying up"}, got[:2])
		lost, err := time.ParseDuration(strings.Fields(got[2])[0])
		require.NoError(t, err)
		require.Contains(t, got[2], "dying lost")
		require.InDelta(t, 33, lost.Seconds(), 2.5) // a TTL after it was back
	})
}

// When beats had to be dropped, silence proves nothing.
func TestMonitorDropsBeats(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		var log bytes.Buffer
		nc := s.Connect("monitor", nats.SyncQueueLen(8)) // room for eight beats, and no more
		mon, err := heartbeat.NewMonitor(ctx, nc, heartbeat.Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		var instances sync.WaitGroup
		for i := range 40 {
			nc := s.Connect(fmt.Sprint("i", i))
			instances.Go(func() { live(ctx, t, nc, fmt.Sprintf("a-%d", i), heartbeat.Config{}) })
		}
		lost := 0
		require.NoError(t, mon.Run(ctx, func(c heartbeat.Change) {
			if time.Sleep(200 * time.Millisecond); c.State == heartbeat.Lost {
				lost++
			}
		}))
		instances.Wait()
		require.Contains(t, log.String(), "beats were dropped")
		require.Zero(t, lost, "nobody died")
	})
}

// Lost is a suspicion: this instance is well, and unheard.
func TestSuspicion(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		nc := s.Connect("instance")
		time.AfterFunc(10*time.Second, s.Link("instance").Down)
		time.AfterFunc(20*time.Second, s.Link("instance").Up)
		got := watch(t, s, time.Minute, func(ctx context.Context) { live(ctx, t, nc, "a-1", heartbeat.Config{}) })
		require.Len(t, got, 3, got)
		require.Contains(t, got[1], "a-1 lost")
		require.Contains(t, got[2], "a-1 up")
	})
}

// Over many histories of cuts, delays and restarts: who lives is not lost for
// good, who died is not up for good. The seed of a history that fails is printed;
// -histories 200 goes through more.
func TestFaults(t *testing.T) {
	for seed := range *histories {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			chance := rand.New(rand.NewPCG(seed, 0))
			living, dying := s.Connect("living"), s.Connect("dying")
			state := map[string]heartbeat.State{}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			mon, err := heartbeat.NewMonitor(ctx, s.Connect("monitor"), heartbeat.Config{Steady: time.Second})
			require.NoError(t, err)
			var all sync.WaitGroup
			all.Go(func() { live(ctx, t, living, "living", heartbeat.Config{}) })
			all.Go(func() { _ = heartbeat.Send(ctx, dying, "dying", heartbeat.Config{}) })
			all.Go(func() {
				for range 6 {
					time.Sleep(time.Duration(chance.IntN(5000)) * time.Millisecond)
					who := []string{"living", "dying", "monitor"}[chance.IntN(3)]
					switch chance.IntN(4) {
					case 0:
						s.Link(who).Cut()
					case 1:
						s.Link(who).Down()
						time.Sleep(time.Duration(chance.IntN(8000)) * time.Millisecond)
						s.Link(who).Up()
					case 2:
						s.Link(who).Delay(time.Duration(chance.IntN(3000)) * time.Millisecond)
					case 3:
						s.Stop()
						time.Sleep(time.Duration(chance.IntN(8000)) * time.Millisecond)
						assert.NoError(t, s.Start())
					}
				}
				for _, who := range []string{"living", "monitor"} {
					s.Link(who).Delay(0)
				}
				dying.Close()
			})
			require.NoError(t, mon.Run(ctx, func(c heartbeat.Change) { state[c.ID] = c.State }), "seed %d", seed)
			all.Wait()
			require.Contains(t, []heartbeat.State{heartbeat.Up, heartbeat.Left}, state["living"], "seed %d", seed)
			require.Equal(t, heartbeat.Lost, state["dying"], "seed %d", seed)
		})
	}
}

// A cut that is long over excuses nobody: who dies later is Lost a TTL after.
func TestMonitorCutOffLongAgo(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		dying := s.Connect("dying")
		time.AfterFunc(10500*time.Millisecond, s.Link("monitor").Down)
		time.AfterFunc(11500*time.Millisecond, s.Link("monitor").Up)
		time.AfterFunc(40500*time.Millisecond, dying.Close)
		got := watch(t, s, time.Minute, func(ctx context.Context) {
			assert.ErrorIs(t, heartbeat.Send(ctx, dying, "dying", heartbeat.Config{}), nats.ErrConnectionClosed)
		})
		require.Equal(t, []string{"0s dying up", "43s dying lost"}, got)
	})
}
