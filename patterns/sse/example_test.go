package sse_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sse"
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
	defer stop()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "PRICES", Subjects: []string{"prices.*"}}); err != nil {
		log.Fatal(err)
	}

	server, err := sse.NewServer(ctx, js, "PRICES", "prices.*", sse.PathRoute("prices", "item"), sse.Config{FromStart: true})
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- server.Run(ctx) }()
	mux := http.NewServeMux()
	mux.Handle("/prices", server)        // all items
	mux.Handle("/prices/{item}", server) // one item
	web := httptest.NewServer(mux)
	defer web.Close()

	for _, price := range []string{"390", "420"} {
		if _, err := js.Publish(ctx, "prices.tea", []byte(price)); err != nil {
			log.Fatal(err)
		}
	}
	resp, err := http.Get(web.URL + "/prices/tea") // in a browser: new EventSource("/prices/tea")
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
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	// Output:
	// 390
	// 420
}
