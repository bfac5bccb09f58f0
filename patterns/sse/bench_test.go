package sse_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/sse"
)

const clients = 1000

// A thousand clients receive twenty events, 20 ms apart, over TCP. One client that does
// not read does not delay the others.
func BenchmarkStalledClient(b *testing.B) {
	ratio.Bar{Pattern: "sse", Metric: "p99 of 1,000 clients, one stalled", AtMost: 1.2, Or: 5 * time.Millisecond, Pairs: 9}.Compare(b,
		func(b *testing.B) time.Duration { return fanOut(b, serve, false) },
		func(b *testing.B) time.Duration { return fanOut(b, serve, true) })
}

// The plain handler has a core subscription for each client: it replays nothing, and
// knows no slow clients.
func BenchmarkServer(b *testing.B) {
	ratio.Bar{Pattern: "sse", Metric: "p99 of 1,000 clients beside net/http", AtMost: 1.2, Or: 5 * time.Millisecond, Pairs: 9}.Compare(b,
		func(b *testing.B) time.Duration { return fanOut(b, servePlain, false) },
		func(b *testing.B) time.Duration { return fanOut(b, serve, false) })
}

// serve returns the handler of a Server, and a function that ends it.
func serve(b *testing.B, s *natstest.Server) (http.Handler, func()) {
	ctx, cancel := context.WithCancel(b.Context())
	srv, err := sse.NewServer(ctx, s.JetStream("sse"), "RESULTS_tea", "results.tea.*", sse.PathRoute("results.tea", "key"), sse.Config{Buffer: 16, WriteTimeout: time.Second})
	require.NoError(b, err)
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	return srv, func() {
		cancel()
		require.NoError(b, <-ended)
	}
}

func servePlain(b *testing.B, s *natstest.Server) (http.Handler, func()) {
	nc := s.Connect("plain")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		events := make(chan *nats.Msg, 64)
		sub, err := nc.ChanSubscribe("results.tea.*", events)
		if err != nil || nc.Flush() != nil {
			return
		}
		defer func() { _ = sub.Unsubscribe() }()
		rc := http.NewResponseController(w)
		for err = rc.Flush(); err == nil; err = rc.Flush() {
			select {
			case <-r.Context().Done():
				return
			case msg := <-events:
				_, _ = fmt.Fprintf(w, "data: %s\n\n", msg.Data)
			}
		}
	}), func() {}
}

// fanOut returns the 99th percentile of the time from publish to a client.
func fanOut(b *testing.B, start func(*testing.B, *natstest.Server) (http.Handler, func()), stalled bool) time.Duration {
	s := natstest.Start(b)
	defer s.Stop()
	js := s.JetStream("publisher")
	createStream(b, js, jetstream.MemoryStorage)
	handler, end := start(b, s)
	web := httptest.NewServer(handler)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	get := func() *http.Response {
		resp, err := (&http.Client{Transport: tr}).Get(web.URL)
		require.NoError(b, err)
		return resp
	}
	var unread *http.Response
	if stalled {
		unread = get()
	}
	var mu sync.Mutex
	var took []time.Duration
	var all sync.WaitGroup
	for range clients {
		resp := get()
		all.Go(func() {
			var mine []time.Duration
			for lines := bufio.NewScanner(resp.Body); len(mine) < 20 && lines.Scan(); {
				if at, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					ns, _ := strconv.ParseInt(strings.TrimRight(at, " "), 10, 64)
					mine = append(mine, time.Since(time.Unix(0, ns)))
				}
			}
			_ = resp.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
		})
	}
	for range 20 {
		require.NoError(b, js.Conn().Publish("results.tea.green", fmt.Appendf(nil, "%-1000d", time.Now().UnixNano())))
		time.Sleep(20 * time.Millisecond) // lint:bubble: a pace, not a wait
	}
	all.Wait()
	if unread != nil {
		_ = unread.Body.Close()
	}
	end()
	web.Close()
	require.Len(b, took, 20*clients)
	slices.Sort(took)
	return took[len(took)*99/100]
}
