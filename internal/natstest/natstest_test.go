package natstest_test

import (
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/link"
	"github.com/natspatterns/catalog/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// The tests below are canaries. The bubble depends on internals of nats-server and
// nats.go; when an upgrade changes one, the canary that fails names it.

// Bubbles follow each other though nats.go pools timers, which may not cross.
func TestCanaryPooledTimers(t *testing.T) {
	for range 3 {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			require.NoError(t, s.Connect("test").Flush()) // pools a timer
		})
		nc := natstest.Start(t).Connect("test")
		require.NoError(t, nc.Flush())
	}
}

// A bubble waits for goroutines outside that will return a timer to the pool.
func TestCanaryTimerOnItsWay(t *testing.T) {
	nc, flushed := natstest.Start(t).ConnectLag("test", 30*time.Millisecond), make(chan error)
	go func() { flushed <- nc.Flush() }()
	defer func() { require.NoError(t, <-flushed) }()
	time.Sleep(10 * time.Millisecond) // until it waits
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		nc := s.ConnectLag("test", time.Millisecond)
		for range 2000 {
			require.NoError(t, nc.Flush()) // on a timer from outside, the clock would stand still
		}
	})
}

// A bubble ends though the server keeps a process-wide clock for JetStream.
func TestCanaryServerClock(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		start := time.Now()
		time.Sleep(6 * time.Hour)
		require.Equal(t, 6*time.Hour, time.Since(start))
	})
}

// JetStream redelivers after AckWait and forgets after MaxAge on the fake clock,
// to the millisecond or two that the server's own timers are coarse.
func TestCanaryJetStreamTimers(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("test")
		stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, MaxAge: time.Hour})
		require.NoError(t, err)
		cons, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second})
		require.NoError(t, err)
		_, err = js.Publish(ctx, "s.1", nil)
		require.NoError(t, err)
		start := time.Now()
		for _, want := range []time.Duration{0, 30 * time.Second} {
			msg, err := cons.Next(jetstream.FetchMaxWait(time.Minute))
			require.NoError(t, err)
			require.Equal(t, want, time.Since(start).Truncate(10*time.Millisecond))
			if want > 0 {
				require.NoError(t, msg.DoubleAck(ctx))
			}
		}
		time.Sleep(time.Hour)
		info, err := stream.Info(ctx)
		require.NoError(t, err)
		require.Zero(t, info.State.Msgs)
	})
}

// A key with a TTL expires on time, and its watcher receives a purge.
func TestCanaryKeyTTL(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx := t.Context()
		kv, err := s.JetStream("test").CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "b", LimitMarkerTTL: time.Minute})
		require.NoError(t, err)
		w, err := kv.Watch(ctx, "lease", jetstream.UpdatesOnly())
		require.NoError(t, err)
		_, err = kv.Create(ctx, "lease", []byte("me"), jetstream.KeyTTL(5*time.Second))
		require.NoError(t, err)
		start := time.Now()
		require.Equal(t, jetstream.KeyValuePut, (<-w.Updates()).Operation())
		require.Equal(t, jetstream.KeyValuePurge, (<-w.Updates()).Operation())
		require.InDelta(t, 5, time.Since(start).Seconds(), 1.1)
		require.NoError(t, w.Stop())
	})
}

// In a bubble, a server restarts on its store, and a client reconnects after a cut.
func TestCanaryRestartAndCut(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("test")
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
		require.NoError(t, err)
		_, err = js.Publish(ctx, "s.1", nil)
		require.NoError(t, err)
		s.Stop()
		time.Sleep(time.Minute)
		require.NoError(t, s.Start())
		time.Sleep(time.Second)
		_, err = js.Publish(ctx, "s.2", nil)
		require.NoError(t, err)

		s.Link("test").Down()
		time.Sleep(time.Second)
		require.Equal(t, nats.RECONNECTING, js.Conn().Status())
		s.Link("test").Up()
		time.Sleep(time.Second)
		ack, err := js.Publish(ctx, "s.3", nil)
		require.NoError(t, err)
		require.EqualValues(t, 3, ack.Sequence)
	})
}

// A delayed link delays by exactly the duration that was set.
func TestCanaryDelay(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		nc := s.ConnectLag("slow", 300*time.Millisecond)
		start := time.Now()
		require.NoError(t, nc.FlushTimeout(time.Second))
		require.Equal(t, 300*time.Millisecond, time.Since(start))
	})
}

// HTTP over in-memory connections runs on the fake clock.
func TestCanaryHTTP(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, _ *natstest.Server) {
		l := link.NewListener()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Hour)
			_, _ = io.WriteString(w, "late")
		})}
		done := make(chan error)
		go func() { done <- srv.Serve(l) }()
		client := l.Client()
		start := time.Now()
		resp, err := client.Get("http://in.memory/")
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, "late", string(body))
		require.Equal(t, time.Hour, time.Since(start))
		client.CloseIdleConnections()
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-done, http.ErrServerClosed)
		_, err = l.Dial()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}
