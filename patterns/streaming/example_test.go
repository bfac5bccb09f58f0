package streaming_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

func Example() {
	nc, err := nats.Connect(natstest.URL())
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())

	// How many degrees at most, in each minute.
	processor, err := streaming.NewProcessor(ctx, js, "ovens", streaming.Flow[int, int]{
		Add: func(hottest int, ev streaming.Event[int]) (int, error) { return max(hottest, ev.Value), nil },
	}, streaming.Config{})
	if err != nil {
		log.Fatal(err)
	}
	server, err := streaming.NewServer(ctx, js, "RESULTS_ovens", "results.ovens.*", streaming.Key("ovens"), streaming.ServerConfig{FromStart: true})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- processor.Run(ctx) }()
	go func() { ended <- server.Run(ctx) }()
	mux := http.NewServeMux()
	mux.Handle("/ovens/{key}", server)
	web := httptest.NewServer(mux)
	defer web.Close()

	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for i, degrees := range []int{380, 410, 395} {
		if err := streaming.Send(ctx, js, "ovens", streaming.Event[int]{Key: "oven-1", At: noon.Add(time.Duration(i) * 40 * time.Second), Value: degrees}); err != nil {
			log.Fatal(err)
		}
	}
	resp, err := http.Get(web.URL + "/ovens/oven-1")
	if err != nil {
		log.Fatal(err)
	}
	for lines, n := bufio.NewScanner(resp.Body), 0; n < 2 && lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			fmt.Println(data)
			n++
		}
	}
	if err := resp.Body.Close(); err != nil {
		log.Fatal(err)
	}
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// {"key":"oven-1","from":"2026-05-01T12:00:00Z","to":"2026-05-01T12:01:00Z","count":2,"value":410}
	// {"key":"oven-1","from":"2026-05-01T12:01:00Z","to":"2026-05-01T12:02:00Z","count":1,"value":395}
}
