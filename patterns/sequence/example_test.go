package sequence_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

// Words arrive in any order, and are published as a sentence.
func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
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
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "WORDS", Subjects: []string{"words"}}); err != nil {
		log.Fatal(err)
	}
	r, err := sequence.NewResequencer(ctx, js, "WORDS", "sentence", sequence.Config{})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()

	words := []string{"", "order", "is", "a", "choice"}
	for _, number := range []uint64{3, 1, 4, 2} {
		m := &nats.Msg{Subject: "words", Data: []byte(words[number])}
		if err := sequence.Stamp(m, sequence.Position{ID: "s-1", Number: number, Last: number == 4}); err != nil {
			log.Fatal(err)
		}
		if _, err := js.PublishMsg(ctx, m); err != nil {
			log.Fatal(err)
		}
	}
	reader, err := js.OrderedConsumer(ctx, "SEQUENCE_sentence", jetstream.OrderedConsumerConfig{})
	if err != nil {
		log.Fatal(err)
	}
	batch, err := reader.Fetch(4)
	if err != nil {
		log.Fatal(err)
	}
	for m := range batch.Messages() {
		fmt.Println(string(m.Data()))
	}
	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// order
	// is
	// a
	// choice
	// stopped: <nil>
}
