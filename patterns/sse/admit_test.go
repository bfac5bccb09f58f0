package streaming_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// Who may read: a page from elsewhere may not, whatever name it has made point
// here, and a request that no browser sends is told what to send.
func TestAdmission(t *testing.T) {
	cfg := streaming.ServerConfig{Origins: []string{"https://shop.example"}}
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse"), cfg)
		defer shut()
		for name, c := range map[string]struct {
			method, url string
			header      map[string]string
			want        int
			text        string
		}{
			"plain":                   {want: 200},
			"by address":              {url: "http://127.0.0.1:8080/tea", want: 421},
			"rebound":                 {url: "http://evil.example/tea", header: map[string]string{"Origin": "http://evil.example"}, want: 421, text: `not called "evil.example"`},
			"same origin":             {header: map[string]string{"Origin": "http://tea.example", "Sec-Fetch-Site": "same-origin"}, want: 200},
			"another origin":          {header: map[string]string{"Origin": "https://evil.example"}, want: 403, text: "from elsewhere"},
			"an opaque origin":        {header: map[string]string{"Origin": "null"}, want: 403},
			"cross-site, no origin":   {header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: 403},
			"a listed origin":         {header: map[string]string{"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}, want: 200},
			"post":                    {method: http.MethodPost, want: 405, text: "GET"},
			"wants json":              {header: map[string]string{"Accept": "application/json, text/event-stream;q=0"}, want: 406, text: "text/event-stream"},
			"wants events too":        {header: map[string]string{"Accept": "application/json, text/event-stream;q=0.5"}, want: 200},
			"wants anything":          {header: map[string]string{"Accept": "*/*"}, want: 200},
			"an id of none of ours":   {header: map[string]string{"Last-Event-ID": "yesterday"}, want: 400, text: "Last-Event-ID"},
			"a wildcard for a key":    {url: "http://tea.example/tea/*", want: 400, text: "bad id"},
			"several tokens as a key": {url: "http://tea.example/tea/a.b", want: 400, text: "bad id"},
			"a line break in a key":   {url: "http://tea.example/tea/a%0d%0aSUB", want: 400, text: "bad id"},
		} {
			if c.url == "" {
				c.url = "http://tea.example/tea"
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			req, err := http.NewRequestWithContext(ctx, c.method, c.url, nil)
			require.NoError(t, err)
			for k, v := range c.header {
				req.Header.Set(k, v)
			}
			resp, err := w.client.Do(req)
			require.NoError(t, err, name)
			require.Equal(t, c.want, resp.StatusCode, name)
			if c.want == 200 {
				require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
				require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
				allowed := strings.TrimPrefix(c.header["Origin"], "http://tea.example")
				require.Equal(t, allowed, resp.Header.Get("Access-Control-Allow-Origin"), name)
				cancel()
			}
			body, _ := io.ReadAll(resp.Body) // ends with an error when cancelled
			require.Contains(t, string(body), c.text, name)
			require.NoError(t, resp.Body.Close())
			cancel()
		}
	})
}

// A Route that would tell more than the Server was made for is refused. A client for
// whom there is no room is told to come back; one that is served is let go at the end.
func TestServerLimits(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		for _, subject := range []string{"state.tea.>", "results.tea.>", ">", "results.*.green", "results.tea.a.b", "results.tea", "results.tea.", "results..x", ""} {
			srv, err := streaming.NewServer(t.Context(), js, "RESULTS_tea", "results.tea.*", func(*http.Request) (string, error) { return subject, nil }, streaming.ServerConfig{})
			require.NoError(t, err)
			rec := &recorder{header: http.Header{}}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/", nil)
			require.NoError(t, err)
			srv.ServeHTTP(rec, req)
			require.Equal(t, 400, rec.code, subject)
		}
		shut := w.open(t, s.JetStream("sse"), streaming.ServerConfig{Clients: 1})
		first, err := w.client.Get("http://tea.example/tea")
		require.NoError(t, err)
		second, err := w.client.Get("http://tea.example/tea")
		require.NoError(t, err)
		require.Equal(t, 200, second.StatusCode, "anything else ends an EventSource for good")
		told, err := io.ReadAll(second.Body)
		require.NoError(t, err)
		require.Regexp(t, `^retry: [23]\d\d\d\n\n$`, string(told), "and that is all")
		require.NoError(t, second.Body.Close())
		end := make(chan error, 1)
		go func() {
			_, err := io.ReadAll(first.Body)
			end <- err
		}()
		shut()
		require.NoError(t, <-end, "let go in an orderly way")
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

// A stream that is deleted, and a connection that is closed, end Run; so browsers
// are not kept waiting for what cannot come.
func TestServerEnds(t *testing.T) {
	for name, c := range map[string]struct {
		ruin func(t *testing.T, js jetstream.JetStream)
		want string
	}{
		"the stream is deleted": {func(t *testing.T, js jetstream.JetStream) {
			require.NoError(t, js.DeleteStream(t.Context(), "RESULTS_tea"))
		}, "stream not found"},
		"the connection is closed": {func(_ *testing.T, js jetstream.JetStream) { js.Conn().Close() }, "connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, func(t *testing.T, s *natstest.Server, _ jetstream.JetStream, _ *web) {
				js := s.JetStream("sse")
				srv, err := streaming.NewServer(t.Context(), js, "RESULTS_tea", "results.tea.*", streaming.Key("tea"), streaming.ServerConfig{})
				require.NoError(t, err)
				p := run(t, js, list, short)
				ended := make(chan error, 1)
				go func() { ended <- srv.Run(t.Context()) }()
				time.Sleep(time.Second) // lint:bubble: a scene is one
				c.ruin(t, js)
				time.Sleep(time.Second)
				_ = streaming.Send(t.Context(), s.JetStream("sender"), "tea", streaming.Event[reading]{Key: "green"})
				require.ErrorContains(t, <-ended, c.want)
				require.ErrorContains(t, <-p.ended, c.want)
				require.ErrorIs(t, srv.Run(t.Context()), streaming.ErrTwice)
				p.cancel()
			})
		})
	}
}
