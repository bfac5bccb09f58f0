package natstest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// Faults disconnect clients and restart the server; afterwards all is connected, fast
// and as it was stored.
func TestInjectFaults(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		var mu sync.Mutex
		disconnects := map[string]int{}
		names := []string{"ann", "bob"}
		for _, name := range names {
			s.Connect(name, nats.DisconnectErrHandler(func(*nats.Conn, error) {
				mu.Lock()
				defer mu.Unlock()
				disconnects[name]++
			}))
		}
		js := s.JetStream("ann")
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}})
		require.NoError(t, err)
		_, err = js.Publish(t.Context(), "s", nil)
		require.NoError(t, err)
		first := s.Server.Server()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.InjectFaults(ctx, rand.New(rand.NewPCG(1, 0)), names, 50*time.Millisecond, true)
		require.GreaterOrEqual(t, time.Since(deadline(ctx)), time.Duration(0), "for as long as ctx lasts")
		require.NotSame(t, first, s.Server.Server(), "the server was restarted")
		mu.Lock()
		for _, name := range names {
			require.Positive(t, disconnects[name], name)
		}
		mu.Unlock()
		time.Sleep(10 * time.Second)
		start := time.Now()
		ack, err := js.Publish(t.Context(), "s", nil)
		require.NoError(t, err)
		require.EqualValues(t, 2, ack.Sequence)
		require.Zero(t, time.Since(start), "no delay is left")
	})
}

func deadline(ctx context.Context) time.Time { d, _ := ctx.Deadline(); return d }

// Without restart the server stays.
func TestInjectFaultsWithoutRestart(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		s.Connect("ann")
		first := s.Server.Server()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s.InjectFaults(ctx, rand.New(rand.NewPCG(1, 0)), []string{"ann"}, 50*time.Millisecond, false)
		require.Same(t, first, s.Server.Server())
	})
}

func TestListen(t *testing.T) {
	for _, url := range []string{natstest.Listen(t).ClientURL(), natstest.URL(), natstest.URL()} {
		nc, err := nats.Connect(url)
		require.NoError(t, err)
		nc.Close()
	}
	require.Equal(t, natstest.URL(), natstest.URL(), "one server for all examples")
}

type tests func() int

func (t tests) Run() int { return t() }

// Run fails when the tests fail, and when a goroutine is left.
func TestRun(t *testing.T) {
	require.Equal(t, 0, natstest.Run(tests(func() int { return 0 })))
	require.Equal(t, 3, natstest.Run(tests(func() int { return 3 })))
	stop := make(chan struct{})
	defer close(stop)
	require.Equal(t, 1, natstest.Run(tests(func() int { go func() { <-stop }(); return 0 })))
}

func TestEventually(t *testing.T) {
	calls := 0
	natstest.Eventually(t, time.Minute, func(context.Context) error {
		if calls++; calls < 3 {
			return fmt.Errorf("%d calls", calls)
		}
		return nil
	})
	require.Equal(t, 3, calls)
}
