package server_test

import (
	"context"
	"net"
	"net/url"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/server"
)

// A server that is started again has what it had stored.
func TestRestart(t *testing.T) {
	srv, err := server.New(natsserver.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir()})
	require.NoError(t, err)
	defer srv.Stop()
	nc, err := nats.Connect("", nats.InProcessServer(srv), nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1))
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "JOBS"})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "JOBS", nil)
	require.NoError(t, err)
	srv.Stop()
	require.NoError(t, srv.Start())
	require.Eventually(t, func() bool { // until the client has noticed, and has reconnected
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s, err := js.Stream(ctx, "JOBS")
		return err == nil && s.CachedInfo().State.Msgs == 1
	}, 20*time.Second, 10*time.Millisecond)
}

func TestNew(t *testing.T) {
	srv, err := server.New(natsserver.Options{Port: natsserver.RANDOM_PORT})
	require.NoError(t, err)
	defer srv.Stop()
	u, err := url.Parse(srv.ClientURL())
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", u.Hostname(), "it listens on loopback")
	_, err = server.New(natsserver.Options{Cluster: natsserver.ClusterOpts{Name: "a b"}})
	require.ErrorContains(t, err, "nats-server: ")
	server.Prepare(natsserver.Options{}).Stop() // it never started
}

func TestFreePort(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		port, err := server.FreePort()
		require.NoError(t, err)
		require.False(t, seen[port])
		seen[port] = true
		l, err := net.Listen("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String())
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
}

// Two sites exchange what the permissions allow, and nothing while the link is cut.
func TestSites(t *testing.T) {
	s, err := server.NewSites(t.TempDir(), `{ publish: "up.>", subscribe: "down.>" }`)
	require.NoError(t, err)
	defer s.Stop()
	hub, err := nats.Connect(s.Hub.ClientURL())
	require.NoError(t, err)
	defer hub.Close()
	edge, err := nats.Connect(s.Edge.ClientURL())
	require.NoError(t, err)
	defer edge.Close()
	sub, err := hub.SubscribeSync(">")
	require.NoError(t, err)
	require.NoError(t, hub.Flush())
	received := func() string { // what hub receives of a publish at edge
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
			_ = edge.Publish("secret.1", nil)
			_ = edge.Publish("up.1", nil)
			_ = edge.Flush()
			if msg, err := sub.NextMsg(50 * time.Millisecond); err == nil {
				return msg.Subject
			}
			if s.Edge.Server().NumLeafNodes() == 0 {
				return ""
			}
		}
		return ""
	}
	require.Equal(t, "up.1", received())
	require.NoError(t, s.Cut())
	for { // what arrived before the cut
		if _, err := sub.NextMsg(50 * time.Millisecond); err != nil {
			break
		}
	}
	require.Empty(t, received())
	require.NoError(t, s.Join())
	require.Equal(t, "up.1", received())
	_, err = server.NewSites(t.TempDir(), `{ publish: `)
	require.ErrorContains(t, err, "server: sites in ")
}
