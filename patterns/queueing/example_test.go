package queueing_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
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
	worker, err := queueing.NewWorker(ctx, js, "letters", queueing.Config{})
	if err != nil {
		log.Fatal(err)
	}
	for _, id := range []string{"letter-1", "letter-2"} {
		if _, err := queueing.Send(ctx, js, "letters", id, &nats.Msg{Data: []byte("Dear " + id)}); err != nil {
			log.Fatal(err)
		}
	}
	left := 2
	err = worker.Run(ctx, func(_ context.Context, msg queueing.Message) error {
		if left--; left == 0 {
			stop() // Run finishes this one
		}
		if string(msg.Data) == "Dear letter-2" {
			return fmt.Errorf("%w: it has no address", queueing.ErrPoison)
		}
		fmt.Println("delivered:", string(msg.Data))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	outcome := queueing.Outcome{State: queueing.Waiting}
	for end := time.Now().Add(5 * time.Second); outcome.State == queueing.Waiting && time.Now().Before(end); { // the server may be at it
		if outcome, err = queueing.Check(context.Background(), js, "letters", "letter-2"); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("letter-2:", outcome.State, "because", outcome.Reason)
	// Output:
	// delivered: Dear letter-1
	// letter-2: failed because queueing: poison message: it has no address
}
