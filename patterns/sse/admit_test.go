package sse_test

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
	"github.com/natspatterns/catalog/patterns/sse"
)

// Pages of other origins cannot read, also by DNS rebinding, and a bad request gets the
// reason.
func TestAdmission(t *testing.T) {
	cfg := sse.Config{Origins: []string{"https://shop.example"}}
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse"), cfg)
		defer shut()
		for name, c := range map[string]struct {
			method, url string
			header      map[string]string
			want        int
			text        string
		}{
			"a plain request":                        {want: 200},
			"an address that is not in Hosts":        {url: "http://127.0.0.1:8080/tea", want: 421},
			"DNS rebinding":                          {url: "http://evil.example/tea", header: map[string]string{"Origin": "http://evil.example"}, want: 421, text: `"evil.example" is not a name`},
			"the same origin":                        {header: map[string]string{"Origin": "http://tea.example", "Sec-Fetch-Site": "same-origin"}, want: 200},
			"another origin":                         {header: map[string]string{"Origin": "https://evil.example"}, want: 403, text: "pages of another origin"},
			"an opaque origin":                       {header: map[string]string{"Origin": "null"}, want: 403},
			"a cross-site request without an origin": {header: map[string]string{"Sec-Fetch-Site": "cross-site"}, want: 403},
			"a listed origin":                        {header: map[string]string{"Origin": "https://shop.example", "Sec-Fetch-Site": "cross-site"}, want: 200},
			"a POST request":                         {method: http.MethodPost, want: 405, text: "GET"},
			"Accept without events":                  {header: map[string]string{"Accept": "application/json, text/event-stream;q=0"}, want: 406, text: "text/event-stream"},
			"Accept with events":                     {header: map[string]string{"Accept": "application/json, text/event-stream;q=0.5"}, want: 200},
			"Accept with a wildcard":                 {header: map[string]string{"Accept": "*/*"}, want: 200},
			"a Last-Event-ID that is not a sequence": {header: map[string]string{"Last-Event-ID": "yesterday"}, want: 400, text: "Last-Event-ID"},
			"a wildcard as a key":                    {url: "http://tea.example/tea/*", want: 400, text: "bad ID"},
			"several tokens as a key":                {url: "http://tea.example/tea/a.b", want: 400, text: "bad ID"},
			"a line break in a key":                  {url: "http://tea.example/tea/a%0d%0aSUB", want: 400, text: "bad ID"},
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
