package backoff_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
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
	ctx, stop := context.WithCancel(context.Background())
	cfg := backoff.Config{Policy: backoff.Policy{First: 10 * time.Millisecond, Ceiling: time.Second, Jitter: 0.5}}
	sender, err := backoff.NewSender(ctx, js, "payments", cfg)
	if err != nil {
		log.Fatal(err)
	}
	worker, err := backoff.NewWorker(ctx, js, "payments", cfg)
	if err != nil {
		log.Fatal(err)
	}
	if err := sender.Send(ctx, "payment-1", &nats.Msg{Data: []byte("9.99")}); err != nil {
		log.Fatal(err) // backoff.ErrFull: slow down
	}

	err = worker.Run(ctx, func(_ context.Context, msg backoff.Message) error {
		if msg.Try < 3 {
			fmt.Printf("try %d: the bank is busy\n", msg.Try)
			return errors.New("busy")
		}
		fmt.Printf("try %d: %s is paid\n", msg.Try, msg.Data)
		stop()
		return nil
	})
	fmt.Println(err)
	// Output:
	// try 1: the bank is busy
	// try 2: the bank is busy
	// try 3: 9.99 is paid
	// <nil>
}
