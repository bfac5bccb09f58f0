package heartbeat_test

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/heartbeat"
)

// Any process reads the instances that are Up, with their last version and load.
func TestRoster(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		reader := s.Connect("reader")
		_, err := heartbeat.Read(ctx, reader, heartbeat.Config{})
		require.ErrorIs(t, err, heartbeat.ErrNoMonitor)

		nc := s.Connect("instances")
		var all sync.WaitGroup
		for range 2 { // one of the two replies
			mon, err := heartbeat.NewMonitor(ctx, s.Connect("monitor"), heartbeat.Config{})
			require.NoError(t, err)
			all.Go(func() { _ = mon.Run(ctx, func(heartbeat.Change) {}) })
		}
		load := 0.0
		all.Go(func() {
			send(ctx, t, nc, "web-1", heartbeat.Config{Version: "1.4.2", Load: func() float64 { load += 0.125; return load }})
		})
		all.Go(func() {
			alive, crash := context.WithTimeout(ctx, 3*time.Second)
			defer crash()
			send(alive, t, nc, "web-2", heartbeat.Config{})
		})
		time.Sleep(5500 * time.Millisecond)
		members, err := heartbeat.Read(ctx, reader, heartbeat.Config{})
		require.NoError(t, err)
		require.Len(t, members, 1, "web-2 has left")
		m := members[0]
		require.Equal(t, "web-1", m.ID)
		require.Equal(t, "1.4.2", m.Version)
		require.Equal(t, 6*0.125, m.Load)
		require.Equal(t, time.Duration(0), m.Since.Sub(start))
		require.Equal(t, 5*time.Second, m.LastSeen.Sub(start))
		cancel()
		all.Wait()
	})
}

// An instance that restarted within its TTL is Up since the restart.
func TestRosterRestart(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		nc, start := s.Connect("instance"), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		mon, err := heartbeat.NewMonitor(ctx, s.Connect("monitor"), heartbeat.Config{})
		require.NoError(t, err)
		for i, seq := range []int{7, 8, 1} {
			time.AfterFunc(time.Duration(i)*time.Second, func() {
				_ = nc.Publish("heartbeat.a-1", fmt.Appendf(nil, `{"seq":%d,"ttl_ms":9000,"version":"%s"}`, seq, strings.Repeat("v", 99)))
			})
		}
		require.NoError(t, mon.Run(ctx, func(heartbeat.Change) {}))
		m := mon.Roster()[0]
		require.Equal(t, 2*time.Second, m.Since.Sub(start))
		require.Len(t, m.Version, 64)
	})
}

// A roster of more than one message arrives whole and in order.
func TestRosterPages(t *testing.T) {
	s := natstest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	mon, err := heartbeat.NewMonitor(ctx, s.Connect("monitor"), heartbeat.Config{})
	require.NoError(t, err)
	ups, done := make(chan struct{}, 2000), make(chan error)
	go func() { done <- mon.Run(ctx, func(heartbeat.Change) { ups <- struct{}{} }) }()
	nc := s.Connect("instances")
	for i := range 1234 {
		require.NoError(t, nc.Publish(fmt.Sprintf("heartbeat.i-%04d", i), []byte(`{"seq":1,"ttl_ms":3600000}`)))
	}
	for range 1234 {
		<-ups
	}
	members, err := heartbeat.Read(ctx, nc, heartbeat.Config{})
	require.NoError(t, err)
	require.Len(t, members, 1234)
	require.Equal(t, "i-1233", members[1233].ID)
	cancel()
	require.NoError(t, <-done)
}

func TestErrors(t *testing.T) {
	s := natstest.Start(t)
	nc, ctx := s.Connect("t"), t.Context()
	for _, id := range []string{"", "a.b", "*", ">", "a b", "a\x00", strings.Repeat("x", 5000)} {
		require.ErrorIs(t, heartbeat.Send(ctx, nc, id, heartbeat.Config{}), heartbeat.ErrID, "%.20q", id)
	}
	require.True(t, nc.IsConnected(), "no bad ID reached the server")
	for field, cfg := range map[string]heartbeat.Config{
		"Every": {Every: -time.Second}, "TTL": {TTL: time.Microsecond}, "Steady": {Steady: -1}, "Prefix": {Prefix: "a.>"}, "Version": {Version: strings.Repeat("v", 65)},
	} {
		err := heartbeat.Send(ctx, nc, "a-1", cfg)
		require.ErrorIs(t, err, heartbeat.ErrConfig)
		require.ErrorContains(t, err, field)
		_, err = heartbeat.NewMonitor(ctx, nc, cfg)
		require.ErrorIs(t, err, heartbeat.ErrConfig)
		_, err = heartbeat.Read(ctx, nc, cfg)
		require.ErrorIs(t, err, heartbeat.ErrConfig)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err := heartbeat.NewMonitor(ended, nc, heartbeat.Config{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = heartbeat.Read(ended, nc, heartbeat.Config{})
	require.ErrorIs(t, err, context.Canceled)

	mon, err := heartbeat.NewMonitor(ctx, nc, heartbeat.Config{})
	require.NoError(t, err)
	require.NoError(t, mon.Run(ended, func(heartbeat.Change) {}), "it unsubscribes")
	require.ErrorIs(t, mon.Run(ctx, func(heartbeat.Change) {}), heartbeat.ErrAlreadyRun)
	mon, err = heartbeat.NewMonitor(ctx, nc, heartbeat.Config{})
	require.NoError(t, err)
	require.ErrorIs(t, mon.Run(ctx, nil), heartbeat.ErrConfig)

	mon, err = heartbeat.NewMonitor(ctx, nc, heartbeat.Config{})
	require.NoError(t, err)
	nc.Close()
	require.ErrorIs(t, mon.Run(ctx, func(heartbeat.Change) {}), nats.ErrConnectionClosed)
	_, err = heartbeat.NewMonitor(ctx, nc, heartbeat.Config{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
	_, err = heartbeat.Read(ctx, nc, heartbeat.Config{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
	require.ErrorIs(t, heartbeat.Send(ctx, nc, "a-1", heartbeat.Config{}), nats.ErrConnectionClosed)
}

// An instance with a load that JSON cannot encode still sends heartbeats.
func TestLoadIsNoNumber(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.NoError(t, heartbeat.Send(ctx, s.Connect("sender"), "orders-1", heartbeat.Config{Load: math.NaN}))
	})
}

// A deadline of the caller can be longer than 5 s.
func TestReadDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		silent := s.Connect("silent")
		_, err := silent.SubscribeSync("roster.heartbeat")
		require.NoError(t, err)
		require.NoError(t, silent.Flush())
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		_, err = heartbeat.Read(ctx, s.Connect("reader"), heartbeat.Config{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 20*time.Second, time.Since(start))
	})
}
