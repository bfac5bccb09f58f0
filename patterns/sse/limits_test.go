package sse_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sse"
)

// A Route cannot select more than the Server's subject. A client above MaxClients gets an
// empty response, after which a browser reconnects.
func TestServerLimits(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		for _, subject := range []string{"state.tea.>", "results.tea.>", ">", "results.*.green", "results.tea.a.b", "results.tea", "results.tea.", "results..x", ""} {
			srv, err := sse.NewServer(t.Context(), js, "RESULTS_tea", "results.tea.*", func(*http.Request) (string, error) { return subject, nil }, sse.Config{})
			require.NoError(t, err)
			rec := &recorder{header: http.Header{}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
			require.NoError(t, err)
			srv.ServeHTTP(rec, req)
			require.Equal(t, 400, rec.code, subject)
		}
		shut := w.open(t, s.JetStream("sse"), sse.Config{MaxClients: 1})
		first, err := w.client.Get("http://tea.example/tea")
		require.NoError(t, err)
		second, err := w.client.Get("http://tea.example/tea")
		require.NoError(t, err)
		require.Equal(t, 200, second.StatusCode, "anything else ends an EventSource for good")
		body, err := io.ReadAll(second.Body)
		require.NoError(t, err)
		require.Regexp(t, `^retry: [23]\d\d\d\n\n$`, string(body), "and that is all")
		require.NoError(t, second.Body.Close())
		end := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(first.Body)
			end <- err
		}()
		shut()
		require.NoError(t, <-end, "the response has an orderly end")
		require.NoError(t, first.Body.Close())
	})
}

// recorder is a connection that cannot carry events.
type recorder struct {
	header http.Header
	code   int
	body   strings.Builder
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(code int)        { r.code = code }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }
