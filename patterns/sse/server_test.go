package sse_test

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
	"github.com/natspatterns/catalog/patterns/sse"
)

// A replay is read from the leader also if the stream allows direct reads: a lagging
// replica would leave a gap.
func TestReplayFromLeader(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("test")
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "RESULTS_tea", Subjects: []string{"results.tea.*"}, AllowDirect: true})
		require.NoError(t, err)
		publish(t, js, "green", "a")
		direct, err := js.Conn().SubscribeSync("$JS.API.DIRECT.GET.>")
		require.NoError(t, err)
		w := newWeb()
		shut := w.open(t, js, sse.Config{})
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.browse(ctx, "/tea", "0", func(ev received) { got = append(got, ev.id+" "+ev.data) })
		}()
		time.Sleep(time.Second) // lint:bubble: in bubble
		cancel()
		<-done
		shut()
		require.Equal(t, []string{"1 a"}, got)
		reads, _, err := direct.Pending()
		require.NoError(t, err)
		require.Zero(t, reads)
	})
}

func TestServer(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		cfg        sse.Config
		path, last string
		play       func(t *testing.T, s *natstest.Server, js jetstream.JetStream)
		want       []string
	}{
		"a browser receives its position first, and then live events": {
			path: "/tea", play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
				publish(t, js, "green", "b")
				publish(t, js, "black", "c")
			},
			want: []string{"1 ", "2 b", "3 c"},
		},
		"a browser with Last-Event-ID receives what it missed": {
			path: "/tea", last: "0", want: []string{"1 a"},
		},
		"FromStart replays all events to a new browser": {
			cfg: sse.Config{FromStart: true}, path: "/tea", want: []string{"1 a"},
		},
		"a key in the URL selects its events, missed and live ones": {
			path: "/tea/green", last: "0", play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
				publish(t, js, "black", "b")
				publish(t, js, "green", "c")
			},
			want: []string{"1 a", "3 c"},
		},
		"a line break in the data, of any kind, stays in the data": {
			path: "/tea", last: "1", play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
				publish(t, js, "green", "b\nid: 99\rdata: c\r\n\r\nevent: admin")
				publish(t, js, "green", "")
			},
			want: []string{"2 b|id: 99|data: c||event: admin", "3 "},
		},
		"a comment is sent when there are no events": {
			cfg: sse.Config{KeepAlive: time.Second}, path: "/tea", last: "1",
			play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) {
				time.Sleep(800 * ms) // lint:bubble: in bubble
				publish(t, js, "green", "b")
				time.Sleep(2500 * ms)
			},
			want: []string{"2 b", "2 : keep-alive", "2 : keep-alive"},
		},
		"an ID past the last sequence starts from the beginning": {
			path: "/tea", last: "77", play: func(t *testing.T, _ *natstest.Server, js jetstream.JetStream) { publish(t, js, "green", "b") },
			want: []string{"1 a", "2 b"},
		},
		"a browser misses nothing when NATS disconnects and restarts": {
			path: "/tea", last: "1", play: func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
				s.Link("sse").Down()
				publish(t, js, "green", "b")
				time.Sleep(5 * time.Second)
				s.Link("sse").Up()
				time.Sleep(5 * time.Second)
				s.Stop()
				require.NoError(t, s.Start())
				time.Sleep(time.Second)
				publish(t, js, "green", "c")
				time.Sleep(10 * time.Second)
			},
			want: []string{"2 b", "3 c"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
				publish(t, js, "green", "a")
				shut := w.open(t, s.JetStream("sse"), c.cfg)
				defer shut()
				ctx, cancel := context.WithCancel(t.Context())
				var seen list
				var gone sync.WaitGroup
				gone.Go(func() {
					w.browse(ctx, c.path, c.last, func(ev received) { seen.add(ev.id + " " + strings.ReplaceAll(ev.data, "\n", "|")) })
				})
				time.Sleep(100 * ms)
				if c.play != nil {
					c.play(t, s, js)
				}
				time.Sleep(100 * ms)
				cancel()
				gone.Wait()
				require.Equal(t, c.want, seen.get())
			})
		})
	}
}

// A browser resumes at its position at any Server, while Servers are replaced and events
// arrive.
func TestResume(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse-0"), sse.Config{Buffer: 4})
		ctx, cancel := context.WithCancel(t.Context())
		var seen list
		var all sync.WaitGroup
		all.Go(func() {
			w.browse(ctx, "/tea", "0", func(ev received) {
				if ev.data != "" {
					seen.add(ev.data)
				}
			})
		})
		var want []string
		for i := range 300 {
			publish(t, js, "green", fmt.Sprint(i))
			want = append(want, fmt.Sprint(i))
			time.Sleep(7 * time.Millisecond)
			if i%40 == 13 {
				shut()
				shut = w.open(t, s.JetStream(fmt.Sprint("sse-", i)), sse.Config{Buffer: 4})
			}
		}
		time.Sleep(time.Second)
		cancel()
		all.Wait()
		shut()
		require.Equal(t, want, seen.get())
	})
}

// A client that does not read is disconnected. Other clients receive each event at the
// instant it is stored. After a reconnect the client receives what it missed.
func TestSlowClient(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, w *web) {
		shut := w.open(t, s.JetStream("sse"), sse.Config{Buffer: 8, WriteTimeout: 2 * time.Second})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://tea.example/tea", nil)
		require.NoError(t, err)
		stalled, err := w.client.Do(req)
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		var prompt, later list
		var gone sync.WaitGroup
		gone.Go(func() {
			w.browse(ctx, "/tea", "0", func(ev received) { prompt.add(fmt.Sprint(ev.id, " ", time.Now().UnixMilli())) })
		})
		time.Sleep(10 * time.Millisecond)
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i+1, " ", time.Now().UnixMilli()))
			publish(t, js, "green", strings.Repeat("x", 5000))
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		require.Equal(t, want, prompt.get())

		rest, err := io.ReadAll(stalled.Body)
		require.Error(t, err, "the server has disconnected it")
		require.Less(t, strings.Count(string(rest), "id: "), 20)
		require.NoError(t, stalled.Body.Close())
		gone.Go(func() { w.browse(ctx, "/tea", "90", func(ev received) { later.add(ev.id) }) })
		time.Sleep(100 * time.Millisecond)
		cancel()
		gone.Wait()
		shut()
		require.Len(t, later.get(), 10)
	})
}
