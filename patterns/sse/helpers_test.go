package sse_test

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
	"github.com/natspatterns/catalog/patterns/sse"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// bubble calls f in a bubble with the stream RESULTS_tea.
func bubble(t *testing.T, f func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web)) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("publisher")
		createStream(t, js, jetstream.FileStorage)
		f(t, s, js, newWeb())
	})
}

func createStream(tb testing.TB, js jetstream.JetStream, storage jetstream.StorageType) {
	tb.Helper()
	_, err := js.CreateStream(tb.Context(), jetstream.StreamConfig{Name: "RESULTS_tea", Subjects: []string{"results.tea.*"}, Storage: storage})
	require.NoError(tb, err)
}

// publish stores a message of a key.
func publish(t *testing.T, js jetstream.JetStream, key, data string) {
	t.Helper()
	_, err := js.Publish(t.Context(), "results.tea."+key, []byte(data))
	require.NoError(t, err)
}

// web is the address of a Server in a bubble, also after another Server replaced it.
type web struct {
	client *http.Client
	mu     sync.Mutex
	at     *link.Listener
}

func newWeb() *web {
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

// open serves RESULTS_tea. The function that it returns stops the Server and waits for
// its end.
func (w *web) open(t *testing.T, js jetstream.JetStream, cfg sse.Config) (shut func()) {
	t.Helper()
	cfg.Hosts = append(cfg.Hosts, "tea.example")
	s, err := sse.NewServer(t.Context(), js, "RESULTS_tea", "results.tea.*", sse.PathRoute("results.tea", "key"), cfg)
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

// received is an event as a browser receives it.
type received struct{ id, data string }

// browse does as an EventSource: it reads, and reconnects with the ID of its last event
// until ctx ends. It calls see with each event.
func (w *web) browse(ctx context.Context, path, last string, see func(received)) {
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) { // lint:bubble: called in one
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
			read(resp, func(ev received) {
				last = ev.id
				see(ev)
			})
		}
		_ = resp.Body.Close()
	}
}

// read parses the events of a response, as the standard says, to its end.
func read(resp *http.Response, see func(received)) {
	var ev received
	var data []string
	hasID := false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			ev.id, hasID = value, true
		case "data":
			data = append(data, value)
		case "":
			if lines.Text() != "" {
				see(received{ev.id, ": " + value}) // a comment
				continue
			}
			if data != nil {
				ev.data = strings.Join(data, "\n")
				see(ev)
			} else if hasID {
				see(received{ev.id, ""})
			}
			data, hasID = nil, false
		}
	}
}

// list collects what goroutines of a test see.
type list struct {
	mu  sync.Mutex
	all []string
}

func (l *list) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

func (l *list) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}
