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
	cfg := backoff.Config{Backoff: 10 * time.Millisecond}
	sender, err := backoff.NewSender(ctx, js, "payments", cfg)
	if err != nil {
		log.Fatal(err)
	}
	worker, err := backoff.NewWorker(ctx, js, "payments", cfg)
	if err != nil {
		log.Fatal(err)
	}
	if err := sender.Send(ctx, "payment-1", &nats.Msg{Data: []byte("9.99")}); err != nil {
		log.Fatal(err) // backoff.ErrFull: send it again later
	}

	err = worker.Run(ctx, func(_ context.Context, msg backoff.Message) error {
		if msg.Delivery < 3 {
			fmt.Printf("attempt %d: the bank is busy\n", msg.Delivery)
			return errors.New("busy")
		}
		fmt.Printf("attempt %d: %s is paid\n", msg.Delivery, msg.Data)
		stop()
		return nil
	})
	fmt.Println(err)
	// Output:
	// attempt 1: the bank is busy
	// attempt 2: the bank is busy
	// attempt 3: 9.99 is paid
	// <nil>
}
