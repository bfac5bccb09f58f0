package sse_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
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

// heldWriter is a client whose connection takes an event only after release.
type heldWriter struct {
	header  http.Header
	release chan struct{}
}

func (w *heldWriter) Header() http.Header              { return w.header }
func (w *heldWriter) WriteHeader(int)                  {}
func (w *heldWriter) FlushError() error                { return nil }
func (w *heldWriter) SetWriteDeadline(time.Time) error { return nil }

func (w *heldWriter) Write(text []byte) (int, error) {
	if bytes.Contains(text, []byte("data:")) {
		<-w.release
	}
	return len(text), nil
}

// Run waits for the last write to each client, and a client that ends its replay after
// that is not served any more.
func TestRunWaitsForWrites(t *testing.T) {
	for name, last := range map[string]string{"of a live event": "", "of a replay": "0"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, _ *web) {
				srv, err := sse.NewServer(t.Context(), js, "RESULTS_tea", "results.tea.*", sse.PathRoute("results.tea", "key"), sse.Config{Hosts: []string{"tea.example"}})
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				ended, served := make(chan error, 1), make(chan struct{})
				go func() { ended <- srv.Run(ctx) }()
				time.Sleep(time.Second) // lint:bubble: in bubble
				if last != "" {
					publish(t, js, "green", "a")
					time.Sleep(time.Second)
				}
				client := &heldWriter{http.Header{}, make(chan struct{})}
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://tea.example/tea", nil)
				if last != "" {
					r.Header.Set("Last-Event-ID", last)
				}
				go func() { srv.ServeHTTP(client, r); close(served) }()
				time.Sleep(time.Second)
				if last == "" {
					publish(t, js, "green", "a")
					time.Sleep(time.Second)
				}
				cancel()
				time.Sleep(time.Second)
				require.Empty(t, ended)
				close(client.release)
				require.NoError(t, <-ended)
				<-served
			})
		})
	}
}
