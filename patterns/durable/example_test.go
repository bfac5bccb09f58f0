package durable_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

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
	ctx := context.Background()
	desk, err := durable.NewSubscriber(ctx, js, "letters", "desk", durable.Config{})
	if err != nil {
		log.Fatal(err)
	}
	letter := func(text string) *nats.Msg { return &nats.Msg{Data: []byte(text)} }

	for range 2 { // a retry, as after a lost ack
		if _, err := durable.Publish(ctx, js, "letters", "letter-1", letter("dear Ann")); err != nil {
			log.Fatal(err)
		}
	}
	post, err := durable.NewPublisher(ctx, js, "letters", durable.Config{})
	if err != nil {
		log.Fatal(err)
	}
	err = errors.Join(post.Send(ctx, "letter-2", letter("dear Ben")), post.Close(ctx)) // nil: it is stored
	if err != nil {
		log.Fatal(err)
	}

	n, err := desk.Poll(ctx, 10, func(_ context.Context, msg durable.Message) error {
		fmt.Printf("%s: %s\n", msg.ID, msg.Data)
		return nil // ack
	})
	fmt.Println(n, err)
	n, err = desk.Poll(ctx, 10, func(context.Context, durable.Message) error { return nil })
	fmt.Println(n, err)
	// Output:
	// letter-1: dear Ann
	// letter-2: dear Ben
	// 2 <nil>
	// 0 <nil>
}
