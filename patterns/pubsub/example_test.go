package pubsub_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()

	type Placed struct {
		Total int `json:"total"`
	}
	ctx, stop := context.WithCancel(context.Background())
	sub, err := pubsub.NewSubscriber[Placed](ctx, nc, "orders.*.placed", pubsub.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if err := pubsub.Publish(nc, "orders.order-7.placed", Placed{Total: 1995}); err != nil {
		log.Fatal(err)
	}
	err = sub.Run(ctx, func(_ context.Context, m pubsub.Message[Placed]) error {
		fmt.Println(m.Subject, m.Body.Total)
		stop()
		return nil
	})
	fmt.Println("stopped:", err)
	// Output:
	// orders.order-7.placed 1995
	// stopped: <nil>
}
