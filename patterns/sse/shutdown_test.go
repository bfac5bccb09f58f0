package sse_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sse"
)

// Run ends with an error when the stream is deleted or the connection is closed: no more
// events can come.
func TestServerEnds(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(t *testing.T, js jetstream.JetStream)
		want string
	}{
		"the stream is deleted": {func(t *testing.T, js jetstream.JetStream) {
			require.NoError(t, js.DeleteStream(t.Context(), "RESULTS_tea"))
		}, "stream not found"},
		"the connection is closed": {func(_ *testing.T, js jetstream.JetStream) { js.Conn().Close() }, "connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *natstest.Server, _ jetstream.JetStream, _ *web) {
				js := s.JetStream("sse")
				srv, err := sse.NewServer(t.Context(), js, "RESULTS_tea", "results.tea.*", sse.PathRoute("results.tea", "key"), sse.Config{})
				require.NoError(t, err)
				ended := make(chan error, 1)
				go func() { ended <- srv.Run(t.Context()) }()
				time.Sleep(time.Second) // lint:bubble: in bubble
				c.fail(t, js)
				require.ErrorContains(t, <-ended, c.want)
				require.ErrorIs(t, srv.Run(t.Context()), sse.ErrAlreadyRun)
			})
		})
	}
}

// Run does not wait for a client with a long replay.
func TestEndsWhileCatchingUp(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		for i := range 200 {
			publish(t, js, "green", fmt.Sprint(i))
		}
		shut := w.open(t, s.JetStream("sse"), sse.Config{})
		s.Link("sse").Delay(time.Second) // of each request
		ctx, leave := context.WithCancel(t.Context())
		var gone sync.WaitGroup
		gone.Go(func() { w.browse(ctx, "/tea", "0", func(received) {}) })
		time.Sleep(5 * time.Second)
		began := time.Now()
		shut()
		require.Less(t, time.Since(began), 3*time.Second)
		leave()
		gone.Wait()
	})
}
