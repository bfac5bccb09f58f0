package streaming_test

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
	"github.com/natspatterns/catalog/patterns/streaming"
)

// Silence longer than Patience is no client's fault: under HTTP/2 too, where a write
// deadline that passes ends the stream, though nothing is being written.
func TestSilence(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse"), streaming.ServerConfig{KeepAlive: 15 * time.Second, Patience: 10 * time.Second})
		tr := &http.Transport{Protocols: new(http.Protocols), DialContext: func(context.Context, string, string) (net.Conn, error) { return w.at.Dial() }}
		tr.Protocols.SetUnencryptedHTTP2(true)
		w.client.Transport = tr
		resp, err := w.client.Get("http://tea.example/tea")
		require.NoError(t, err)
		require.Equal(t, 2, resp.ProtoMajor)
		var seen ledger
		var gone sync.WaitGroup
		gone.Go(func() { read(resp, func(ev sse) { seen.add(ev.id + ev.data) }) })
		time.Sleep(40 * time.Second) // lint:bubble: a scene is one
		result(t, js, "green", " late")
		time.Sleep(time.Second)
		require.Equal(t, []string{"0", "0: keep-alive", "0: keep-alive", "1 late"}, seen.list())
		require.NoError(t, resp.Body.Close())
		gone.Wait()
		tr.CloseIdleConnections()
		shut()
	})
}

// A Server that ends does not wait for one that has years to catch up with.
func TestEndsWhileCatchingUp(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		for i := range 200 {
			result(t, js, "green", fmt.Sprint(i))
		}
		shut := w.open(t, s.JetStream("sse"), streaming.ServerConfig{})
		s.Link("sse").Delay(time.Second) // of each question it asks
		ctx, leave := context.WithCancel(t.Context())
		var gone sync.WaitGroup
		gone.Go(func() { w.browser(ctx, "/tea", "0", func(sse) {}) })
		time.Sleep(5 * time.Second)
		began := time.Now()
		shut()
		require.Less(t, time.Since(began), 3*time.Second)
		leave()
		gone.Wait()
	})
}
