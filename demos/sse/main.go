// Command sse plays a bus stop: a bus publishes its position, a display and a phone show
// it, during a tunnel and an update of the web server.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/sse"
)

const (
	ms  = time.Millisecond
	end = 9800 * ms
)

var play = demo.Play{
	Name:    "sse",
	About:   "a bus on a display and a phone: a tunnel, another web server, a client that was away too long, and a page of another site",
	Lasts:   end,
	Streams: []string{"BUSES"},
	Scene:   [2]time.Duration{3400 * ms, 4600 * ms},
	Cast: func(e *demo.Env) error {
		e.Go("bus", func(ctx context.Context, nc *nats.Conn) error { return bus(ctx, e, nc) })
		e.Go("web-1", func(ctx context.Context, nc *nats.Conn) error { return server(ctx, e, nc, "web-1", 100*ms, 5200*ms) })
		e.Go("web-2", func(ctx context.Context, nc *nats.Conn) error { return server(ctx, e, nc, "web-2", 200*ms, 2*end) })
		e.Go("display", func(ctx context.Context, _ *nats.Conn) error {
			return client(ctx, e, browser{name: "display", from: 250 * ms})
		})
		e.Go("phone", func(ctx context.Context, _ *nats.Conn) error {
			return client(ctx, e, browser{name: "phone", from: 260 * ms, tunnel: 2200 * ms, lag: 20 * ms})
		})
		e.Go("tablet", func(ctx context.Context, _ *nats.Conn) error {
			return client(ctx, e, browser{name: "tablet", from: 7550 * ms, last: "2", lag: 30 * ms})
		})
		e.Go("stranger", func(ctx context.Context, _ *nats.Conn) error { return stranger(ctx, e) })
		return nil
	},
}

func main() { play.Main() }

// bus creates the stream and publishes a position every half second. The stream keeps the
// last 8 positions.
func bus(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "BUSES", Subjects: []string{"buses.*"}, MaxMsgs: 8, Metadata: e.Mark()})
	if err != nil {
		return err
	}
	stories := map[int]string{
		1:  "A bus publishes its position every half second. A web server reads the stream once for all\nclients: here for the display and the phone. The id of an event is its sequence.",
		4:  "The phone enters a tunnel and is disconnected for two seconds. It reconnects with the ID\nof its last event, and first receives the events that it missed.",
		10: "The web server web-1 stops for an update. Both clients reconnect to web-2, with their IDs.\nThey miss nothing, and receive nothing twice.",
		15: "The tablet was switched off since event 2. The stream stores only 8 events: events 3 to 7\nare lost for the tablet. What the stream has dropped cannot be replayed.",
	}
	for i := 1; i <= 18; i++ {
		at := time.Duration(i) * 500 * ms
		if !e.At(at - 100*ms) {
			return nil
		}
		if story := stories[i]; story != "" {
			e.Tell("%s", story)
		}
		if !e.At(at) {
			return nil
		}
		if _, err := js.Publish(ctx, "buses.line-7", fmt.Appendf(nil, "km %.1f", float64(i)/2)); err != nil {
			return err
		}
	}
	if e.At(9200 * ms) {
		e.Tell("A page of another site tries to read the events.")
	}
	return nil
}

// server serves the stream at http://<name>/buses/{line} from one instant to another.
func server(ctx context.Context, e *demo.Env, nc *nats.Conn, name string, from, to time.Duration) error {
	if !e.At(from) {
		return nil
	}
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	s, err := sse.NewServer(ctx, js, "BUSES", "buses.*", sse.PathRoute("buses", "line"), sse.Config{Hosts: []string{name, "127.0.0.1"}, Log: e.Log()})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/buses/{line}", s)
	l, err := e.Listen(name)
	if err != nil {
		return err
	}
	srv, served := &http.Server{Handler: mux}, make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	run, stop := context.WithDeadline(ctx, e.Start().Add(to))
	defer stop()
	if err := errors.Join(s.Run(run), srv.Close()); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if ctx.Err() == nil {
		e.Printf("%s has stopped", name)
	}
	return nil
}

// browser does as an EventSource.
type browser struct {
	name   string
	from   time.Duration // when it connects first
	tunnel time.Duration // when it is disconnected, for two seconds
	last   string        // the ID of its last event
	lag    time.Duration // each client prints at an instant of its own
}

// client reads events, from web-1 or else from web-2, and reconnects after a disconnect.
func client(ctx context.Context, e *demo.Env, b browser) error {
	if !e.At(b.from) {
		return nil
	}
	web := e.Client()
	defer web.CloseIdleConnections()
	for ctx.Err() == nil {
		connected, disconnect := context.WithCancel(ctx)
		if b.tunnel > 0 {
			connected, disconnect = context.WithDeadline(ctx, e.Start().Add(b.tunnel))
		}
		for _, server := range []string{"web-1", "web-2"} {
			if err := read(connected, e, web, server, &b); err != nil {
				disconnect()
				return err
			}
		}
		disconnect()
		if b.tunnel > 0 && time.Since(e.Start()) >= b.tunnel {
			e.Printf("the %s is disconnected", b.name)
			e.At(b.tunnel + 2*time.Second)
			b.tunnel = 0
		}
		e.At(time.Since(e.Start()).Truncate(100*ms) + 100*ms)
	}
	return nil
}

// read prints the events of one response, and stores the ID of the last one in b.
func read(ctx context.Context, e *demo.Env, web *http.Client, server string, b *browser) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+server+"/buses/line-7", nil)
	if err != nil {
		return err
	}
	if b.last != "" {
		req.Header.Set("Last-Event-ID", b.last)
	}
	resp, err := web.Do(req)
	if err != nil {
		return nil // the server is down
	}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			b.last = value
		case "data":
			time.Sleep(b.lag)
			e.Printf("the %s shows event %s of %s: %s", b.name, b.last, server, value)
		}
	}
	return resp.Body.Close()
}

func stranger(ctx context.Context, e *demo.Env) error {
	if !e.At(9500 * ms) {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://web-2/buses/line-7", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Origin", "https://rival.example")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := e.Client().Do(req)
	if err != nil {
		return err
	}
	e.Printf("web-2 answers the page of rival.example: %s", resp.Status)
	return resp.Body.Close()
}
