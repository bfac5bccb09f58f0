package sse_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sse"
)

// Messages that the stream has dropped cannot be replayed.
func TestNotPromised(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		for i := range 3 {
			publish(t, js, "green", fmt.Sprint(i))
		}
		results, err := js.Stream(t.Context(), "RESULTS_tea")
		require.NoError(t, err)
		require.NoError(t, results.Purge(t.Context(), jetstream.WithPurgeSequence(3))) // as MaxAge does
		shut := w.open(t, s.JetStream("sse"), sse.Config{FromStart: true})
		resp, err := w.client.Get("http://tea.example/tea")
		require.NoError(t, err)
		var seen list
		done := make(chan struct{})
		go func() { read(resp, func(ev received) { seen.add(ev.id) }); close(done) }()
		time.Sleep(time.Second) // lint:bubble: in bubble
		require.Equal(t, []string{"3"}, seen.get(), "1 and 2 are lost for this client")
		shut()
		<-done
		require.NoError(t, resp.Body.Close())
	})
}
