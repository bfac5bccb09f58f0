package streaming_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/link"
	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// web is where a Server is reached, in a bubble, also when another has taken its
// place.
type web struct {
	client *http.Client
	mu     sync.Mutex
	at     *link.Listener
}

func newWeb(t *testing.T) *web {
	w := &web{at: link.NewListener()}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		w.mu.Lock()
		at := w.at
		w.mu.Unlock()
		return at.Dial()
	}}
	w.client = &http.Client{Transport: tr}
	return w
}

// open serves the results of tea, and returns what closes the Server and waits for
// it to end.
func (w *web) open(t *testing.T, js jetstream.JetStream, cfg streaming.ServerConfig) (shut func()) {
	t.Helper()
	cfg.Hosts = append(cfg.Hosts, "tea.example")
	s, err := streaming.NewServer(t.Context(), js, "RESULTS_tea", "results.tea.*", streaming.Key("tea"), cfg)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/tea", s)
	mux.Handle("/tea/{key}", s)
	at := link.NewListener()
	w.mu.Lock()
	w.at = at
	w.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	srv := &http.Server{Handler: mux, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	ended, served := make(chan error, 1), make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	go func() { served <- srv.Serve(at) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, srv.Shutdown(context.WithoutCancel(ctx)))
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}

// sse is an event as a browser has it.
type sse struct{ id, data string }

// browser does as an EventSource: it reads, and comes back with the id of the last
// event it knows of. It gives each event to see, until ctx ends.
func (w *web) browser(ctx context.Context, path, last string, see func(sse)) {
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tea.example"+path, nil)
		if err != nil {
			return
		}
		req.Header.Set("Accept", "text/event-stream")
		if last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := w.client.Do(req)
		if err != nil {
			continue
		}
		if resp.StatusCode == http.StatusOK {
			read(resp, func(ev sse) {
				last = ev.id
				see(ev)
			})
		}
		_ = resp.Body.Close()
	}
}

// read takes the events of a response apart as the standard says, to its end.
func read(resp *http.Response, see func(sse)) {
	var ev sse
	var data []string
	news := false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			ev.id, news = value, true
		case "data":
			data = append(data, value)
		case "":
			if lines.Text() != "" {
				see(sse{ev.id, ": " + value}) // a comment
				continue
			}
			if data != nil {
				ev.data = strings.Join(data, "\n")
				see(ev)
			} else if news {
				see(sse{ev.id, ""})
			}
			data, news = nil, false
		}
	}
}

// result stores a result of a key, as a Processor does.
func result(t *testing.T, js jetstream.JetStream, key, data string) {
	t.Helper()
	_, err := js.Publish(t.Context(), "results.tea."+key, []byte(data))
	require.NoError(t, err)
}

// scene is a bubble with the streams of a flow.
func scene(t *testing.T, f func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web)) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("processor")
		require.NoError(t, streaming.Provision(t.Context(), js, "tea", short))
		f(t, s, js, newWeb(t))
	})
}
