package sse_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sse"
)

// A client is not disconnected after a silence longer than WriteTimeout. Under HTTP/2, a
// write deadline ends a response even when nothing is being written.
func TestSilence(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse"), sse.Config{KeepAlive: 15 * time.Second, WriteTimeout: 10 * time.Second})
		tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return w.at.Dial() }}
		tr.Protocols.SetUnencryptedHTTP2(true)
		w.client.Transport = tr
		resp, err := w.client.Get("http://tea.example/tea")
		require.NoError(t, err)
		require.Equal(t, 2, resp.ProtoMajor)
		var seen list
		var gone sync.WaitGroup
		gone.Go(func() { read(resp, func(ev received) { seen.add(ev.id + ev.data) }) })
		time.Sleep(40 * time.Second) // lint:bubble: in bubble
		publish(t, js, "green", " late")
		time.Sleep(time.Second)
		require.Equal(t, []string{"0", "0: keep-alive", "0: keep-alive", "1 late"}, seen.get())
		require.NoError(t, resp.Body.Close())
		gone.Wait()
		tr.CloseIdleConnections()
		shut()
	})
}

// Events that are stored during a replay are not missed.
func TestWhileCatchingUp(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		s.Link("sse").Delay(50 * time.Millisecond) // of each request
		shut := w.open(t, s.JetStream("sse"), sse.Config{})
		time.Sleep(time.Second)
		var want []string
		store := func(n int) {
			for range n {
				want = append(want, fmt.Sprint(len(want)+1))
				publish(t, js, "green", want[len(want)-1])
				time.Sleep(20 * time.Millisecond)
			}
		}
		store(10)
		ctx, leave := context.WithCancel(t.Context())
		var seen list
		var gone sync.WaitGroup
		gone.Go(func() { w.browse(ctx, "/tea", "0", func(ev received) { seen.add(ev.id) }) })
		store(60)
		time.Sleep(5 * time.Second)
		leave()
		gone.Wait()
		require.Equal(t, want, seen.get())
		shut()
	})
}

// A browser that received more from another Server does not receive it again.
func TestServerBehind(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse"), sse.Config{})
		time.Sleep(time.Second)
		s.Link("sse").Down()
		for i := range 3 {
			publish(t, js, "green", fmt.Sprint(i))
		}
		ctx, leave := context.WithCancel(t.Context())
		var seen list
		var gone sync.WaitGroup
		gone.Go(func() { w.browse(ctx, "/tea", "2", func(ev received) { seen.add(ev.id) }) })
		time.Sleep(500 * time.Millisecond)
		s.Link("sse").Up()
		time.Sleep(10 * time.Second)
		leave()
		gone.Wait()
		require.Equal(t, []string{"3"}, seen.get())
		shut()
	})
}
