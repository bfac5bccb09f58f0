// Command streaming plays a pizza bakery: ovens publish their temperature, a processor
// computes the average of every two seconds, and a screen in the shop shows it, during a
// crash of the processor and a restart of the web server.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/sse"
	"github.com/natspatterns/catalog/patterns/streaming"
)

const (
	ms  = time.Millisecond
	end = 16 * time.Second
)

var play = demo.Play{
	Name:    "streaming",
	About:   "ovens to averages to a screen: a late reading, a crash, a restart of the web server, a page that keeps no id, and one from elsewhere",
	Lasts:   end,
	Streams: []string{"FEED_ovens", "RESULTS_ovens"},
	Scene:   [2]time.Duration{2100 * ms, 2900 * ms},
	Cast: func(e *demo.Env) error {
		e.Go("ovens", func(ctx context.Context, nc *nats.Conn) error { return ovens(ctx, e, nc) })
		e.Go("processor", func(ctx context.Context, nc *nats.Conn) error { return processor(ctx, e, nc, 100*ms, 5500*ms) })
		e.Go("relief", func(ctx context.Context, nc *nats.Conn) error { return processor(ctx, e, nc, 6500*ms, 2*end) })
		e.Go("cook", func(ctx context.Context, nc *nats.Conn) error { return cook(ctx, e, nc) })
		e.Go("web", func(ctx context.Context, nc *nats.Conn) error { return web(ctx, e, nc) })
		e.Go("screen", func(ctx context.Context, _ *nats.Conn) error { return screen(ctx, e, "the screen", true) })
		e.Go("page", func(ctx context.Context, _ *nats.Conn) error { return screen(ctx, e, "a page without ids", false) })
		e.Go("stranger", func(ctx context.Context, _ *nats.Conn) error { return stranger(ctx, e) })
		return nil
	},
}

func main() { play.Main() }

// config has a MaxAge of a century: the server expires messages by a clock that is not the
// fake clock of a recording, which begins in the year 2000.
func config(e *demo.Env) streaming.Config {
	return streaming.Config{Window: 2 * time.Second, Lateness: 500 * ms, Idle: 300 * ms, MaxAge: 100 * 365 * 24 * time.Hour, Log: e.Log(), Metadata: e.Mark()}
}

// average is the aggregate of the readings of a window.
type average struct {
	Sum  int `json:"sum"`
	Mean int `json:"mean"`
	N    int `json:"n"`
}

var flow = streaming.Flow[int, average]{
	Clean: func(_ context.Context, ev *streaming.Event[int]) error {
		if ev.Value < 0 {
			return errors.New("a probe that has come loose")
		}
		return nil
	},
	Add: func(sum average, ev streaming.Event[int]) (average, error) {
		sum.N, sum.Sum = sum.N+1, sum.Sum+ev.Value
		sum.Mean = sum.Sum / sum.N
		return sum, nil
	},
}

// processor runs from one instant to another, when it crashes.
func processor(ctx context.Context, e *demo.Env, nc *nats.Conn, from, to time.Duration) error {
	e.At(from)
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	p, err := streaming.NewProcessor(ctx, js, "ovens", flow, config(e))
	if err != nil {
		return err
	}
	ctx, crash := context.WithCancel(ctx)
	defer crash()
	go func() {
		if e.At(to) {
			e.Printf("the processor crashes")
			crash()
		}
	}()
	return p.Run(ctx)
}

// ovens publish their temperature. Each reading has an ID, so that it can be sent again
// when its ack is lost.
func ovens(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	if err := streaming.Provision(ctx, js, "ovens", config(e)); err != nil {
		return err
	}
	t0 := time.Now().Truncate(2 * time.Second)
	publish := func(key string, at time.Duration, degrees int) {
		err = errors.Join(err, streaming.Send(ctx, js, "ovens", streaming.Event[int]{ID: e.ID("reading"), Key: key, At: t0.Add(at), Value: degrees}))
	}
	stories := map[int]string{
		1:  "Two ovens publish five readings each in two seconds. The processor computes one result\nfor each oven. It closes the window half a second after its end: the allowed lateness.\nTwo web pages in the shop receive the results of oven-1.",
		8:  "A probe comes loose, and its reading is refused. Oven-2 had lost the Wi-Fi: a reading\nfrom second 1 arrives after its window was closed. It is refused as late: a result never\nchanges, and no reading is lost silently.",
		14: "The processor crashes in the middle of a window. Its open windows and its position in the\nfeed were stored together with its results. The next processor resumes there: oven-1's\nnext result has its five readings.",
		21: "The web server restarts. The screen reconnects with the ID of its last event, and receives\nwhat it missed. The other page sends no ID: it does not receive the events of the time\nwhen it was disconnected.",
	}
	for i := 1; i <= 30; i++ {
		at := time.Duration(i-1) * 400 * ms
		if !e.At(at) {
			return err
		}
		if s := stories[i]; s != "" {
			e.Tell("%s", s)
		}
		publish("oven-1", at, 400+i)
		if i == 8 {
			e.At(at + 100*ms)
			publish("oven-1", at, -1)
		}
		e.At(at + 200*ms)
		publish("oven-2", at+200*ms, 300+i)
		if i == 8 {
			e.At(at + 300*ms)
			publish("oven-2", time.Second, 305)
		}
	}
	e.At(13 * time.Second)
	e.Tell("A page of another site tries to read the events.")
	return err
}

// web serves the results; it is restarted once.
func web(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	e.At(200 * ms)
	for _, until := range []time.Duration{8900 * ms, 2 * end} {
		s, err := sse.NewServer(ctx, js, "RESULTS_ovens", "results.ovens.*", sse.PathRoute("results.ovens", "key"),
			sse.Config{Hosts: []string{"web", "127.0.0.1"}, Retry: 500 * ms, Log: e.Log()})
		if err != nil {
			return err
		}
		mux := http.NewServeMux()
		mux.Handle("/ovens", s)
		mux.Handle("/ovens/{key}", s)
		l, err := e.Listen("web")
		if err != nil {
			return err
		}
		srv, served := &http.Server{Handler: mux}, make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		run, stop := context.WithCancel(ctx)
		go func() { e.At(until); stop() }()
		err = s.Run(run)
		stop()
		if err = errors.Join(err, srv.Close()); err != nil {
			return err
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		if e.At(until) {
			e.Printf("the web server is down")
		}
		e.At(until + 2400*ms)
	}
	return nil
}

// screen shows the results of oven-1. It does the same as an EventSource of a browser.
func screen(ctx context.Context, e *demo.Env, name string, ids bool) error {
	e.At(300 * ms)
	client := e.Client()
	defer client.CloseIdleConnections()
	last := ""
	for next := 300 * ms; e.At(next); next = time.Since(e.Start()).Truncate(500*ms) + 500*ms {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://web/ovens/oven-1", nil)
		if err != nil {
			return err
		}
		if ids && last != "" {
			req.Header.Set("Last-Event-ID", last)
		}
		resp, err := client.Do(req)
		if err != nil {
			continue // the server is down
		}
		shown := ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "id":
				last = value
			case "data":
				var r streaming.Result[average]
				if err := json.Unmarshal([]byte(value), &r); err != nil {
					return err
				}
				from := r.From.Sub(e.Start().Truncate(2 * time.Second)).Seconds()
				shown = fmt.Sprintf("%s shows: oven-1, seconds %.0f to %.0f, %d readings, %d degrees", name, from, from+2, r.Count, r.Value.Mean)
				if !ids {
					time.Sleep(100 * ms) // after the other: each at an instant of its own
				}
				e.Printf("%s", shown)
			}
		}
		_ = resp.Body.Close()
	}
	return nil
}

// cook reads the refused events.
func cook(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	sub, err := nc.SubscribeSync("refused.ovens.*")
	if err != nil {
		return err
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil // the end of the play
		}
		e.Printf("the cook reads: %s degrees of %s refused, %s", msg.Data, strings.TrimPrefix(msg.Subject, "refused.ovens."), msg.Header.Get(streaming.HeaderReason))
	}
}

func stranger(ctx context.Context, e *demo.Env) error {
	e.At(13500 * ms)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://web/ovens", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Origin", "https://rival.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := e.Client().Do(req)
	if err != nil {
		return err
	}
	e.Printf("the web server answers the stranger: %s", resp.Status)
	return resp.Body.Close()
}
