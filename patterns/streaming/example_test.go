package streaming_test

import (
	"context"
	"fmt"
	"log"
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
	defer stop()

	// The highest temperature of each oven in each minute.
	processor, err := streaming.NewProcessor(ctx, js, "ovens", streaming.Flow[int, int]{
		Add: func(hottest int, ev streaming.Event[int]) (int, error) { return max(hottest, ev.Value), nil },
	}, streaming.Config{})
	if err != nil {
		log.Fatal(err)
	}
	results, err := nc.SubscribeSync("results.ovens.*") // or read the stream RESULTS_ovens
	if err != nil {
		log.Fatal(err)
	}
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for i, degrees := range []int{380, 410, 395} {
		event := streaming.Event[int]{Key: "oven-1", At: noon.Add(time.Duration(i) * 40 * time.Second), Value: degrees}
		if err := streaming.Send(ctx, js, "ovens", event); err != nil {
			log.Fatal(err)
		}
	}
	ended := make(chan error)
	go func() { ended <- processor.Run(ctx) }() // after Send, because these events are old
	for range 2 {
		result, err := results.NextMsg(10 * time.Second)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(result.Data))
	}
	stop()
	if err := <-ended; err != nil {
		log.Fatal(err)
	}
	// Output:
	// {"key":"oven-1","from":"2026-05-01T12:00:00Z","to":"2026-05-01T12:01:00Z","count":2,"value":410}
	// {"key":"oven-1","from":"2026-05-01T12:01:00Z","to":"2026-05-01T12:02:00Z","count":1,"value":395}
}
