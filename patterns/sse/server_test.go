package streaming_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

func TestServer(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		cfg        streaming.ServerConfig
		path, last string
		play       func(t *testing.T, s *natstest.Server, js jetstream.JetStream)
		want       []string
	}{
		"a browser is told what comes, and from the start where it is": {
			path: "/tea", play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
				result(t, js, "green", "b")
				result(t, js, "black", "c")
			},
			want: []string{"1 ", "2 b", "3 c"},
		},
		"a browser that was here is told what it has missed": {
			path: "/tea", last: "0", want: []string{"1 a"},
		},
		"FromStart tells a new browser all": {
			cfg: streaming.ServerConfig{FromStart: true}, path: "/tea", want: []string{"1 a"},
		},
		"a key in the URL is the only one told, of what was missed and of what comes": {
			path: "/tea/green", last: "0", play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
				result(t, js, "black", "b")
				result(t, js, "green", "c")
			},
			want: []string{"1 a", "3 c"},
		},
		"a line break in the data, of any kind, stays in the data": {
			path: "/tea", last: "1", play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
				result(t, js, "green", "b\nid: 99\rdata: c\r\n\r\nevent: admin")
				result(t, js, "green", "")
			},
			want: []string{"2 b|id: 99|data: c||event: admin", "3 "},
		},
		"a browser that hears nothing is sent a comment": {
			cfg: streaming.ServerConfig{KeepAlive: time.Second}, path: "/tea", last: "1",
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
				time.Sleep(800 * ms) // lint:bubble: a scene is one
				result(t, js, "green", "b")
				time.Sleep(2500 * ms)
			},
			want: []string{"2 b", "2 : keep-alive", "2 : keep-alive"},
		},
		"an id from another stream of that name begins again": {
			path: "/tea", last: "77", play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) { result(t, js, "green", "b") },
			want: []string{"1 a", "2 b"},
		},
		"when NATS is cut off, and restarts, the browser stays and misses nothing": {
			path: "/tea", last: "1", play: func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
				s.Link("sse").Down()
				result(t, js, "green", "b")
				time.Sleep(5 * time.Second)
				s.Link("sse").Up()
				time.Sleep(5 * time.Second)
				s.Stop()
				require.NoError(t, s.Start())
				time.Sleep(time.Second)
				result(t, js, "green", "c")
				time.Sleep(10 * time.Second)
			},
			want: []string{"2 b", "3 c"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
				result(t, js, "green", "a")
				shut := w.open(t, s.JetStream("sse"), c.cfg)
				defer shut()
				ctx, cancel := context.WithCancel(t.Context())
				var seen ledger
				var gone sync.WaitGroup
				gone.Go(func() {
					w.browser(ctx, c.path, c.last, func(ev sse) { seen.add(ev.id + " " + strings.ReplaceAll(ev.data, "\n", "|")) })
				})
				time.Sleep(100 * ms)
				if c.play != nil {
					c.play(t, s, js)
				}
				time.Sleep(100 * ms)
				cancel()
				gone.Wait()
				require.Equal(t, c.want, seen.list())
			})
		})
	}
}

// A browser comes back where it was, whichever Server it finds, and however often
// it and the Servers are replaced while results come.
func TestResume(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse-0"), streaming.ServerConfig{Buffer: 4})
		ctx, cancel := context.WithCancel(t.Context())
		var seen ledger
		var all sync.WaitGroup
		all.Go(func() {
			w.browser(ctx, "/tea", "0", func(ev sse) {
				if ev.data != "" {
					seen.add(ev.data)
				}
			})
		})
		var want []string
		for i := range 300 {
			result(t, js, "green", fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
			time.Sleep(7 * time.Millisecond)
			if i%40 == 13 {
				shut()
				shut = w.open(t, s.JetStream(fmt.Sprint("sse-", i)), streaming.ServerConfig{Buffer: 4})
			}
		}
		time.Sleep(time.Second)
		cancel()
		all.Wait()
		shut()
		require.Equal(t, want, seen.list())
	})
}

// A client that reads nothing is cut; the others get each event at the instant it
// is stored; and when it reads again, it gets what it missed.
func TestSlowClient(t *testing.T) {
	scene(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse"), streaming.ServerConfig{Buffer: 8, Patience: 2 * time.Second})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://tea.example/tea", nil)
		require.NoError(t, err)
		stalled, err := w.client.Do(req)
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		var prompt, later ledger
		var gone sync.WaitGroup
		gone.Go(func() {
			w.browser(ctx, "/tea", "0", func(ev sse) { prompt.add(fmt.Sprint(ev.id, " ", time.Now().UnixMilli())) })
		})
		time.Sleep(10 * time.Millisecond)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i+1, " ", time.Now().UnixMilli()))
			result(t, js, "green", strings.Repeat("x", 5000))
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		require.Equal(t, want, prompt.list())

		rest, err := io.ReadAll(stalled.Body)
		require.Error(t, err, "the server has given up on it")
		require.Less(t, strings.Count(string(rest), "id: "), 20)
		require.NoError(t, stalled.Body.Close())
		gone.Go(func() { w.browser(ctx, "/tea", "90", func(ev sse) { later.add(ev.id) }) })
		time.Sleep(100 * time.Millisecond)
		cancel()
		gone.Wait()
		shut()
		require.Len(t, later.list(), 10)
	})
}
