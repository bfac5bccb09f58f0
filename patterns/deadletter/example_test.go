package deadletter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
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
	ctx := context.Background()
	if _, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "INVOICES", Subjects: []string{"invoices.*"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		log.Fatal(err)
	}
	cons, err := js.CreateConsumer(ctx, "INVOICES", jetstream.ConsumerConfig{Durable: "booking", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		log.Fatal(err)
	}
	letters, err := deadletter.NewChannel(ctx, js, "invoices", deadletter.Config{})
	if err != nil {
		log.Fatal(err)
	}
	booked := make(chan int, 1)
	guarded, err := letters.Guard(ctx, cons, func(_ context.Context, msg deadletter.Message) error {
		var cents int
		if err := json.Unmarshal(msg.Data, &cents); err != nil {
			booked <- 0
			return fmt.Errorf("%w: %q is no amount", deadletter.ErrPoison, msg.Data)
		}
		booked <- cents
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	run, err := cons.Consume(guarded)
	if err != nil {
		log.Fatal(err)
	}
	if _, err = js.Publish(ctx, "invoices.1", []byte("12,50")); err != nil {
		log.Fatal(err)
	}
	<-booked
	run.Drain()
	<-run.Closed()
	if run, err = cons.Consume(guarded); err != nil {
		log.Fatal(err)
	}
	defer run.Stop()
	for l, err := range letters.All(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.Msg.Subject, "is dead:", l.Error)
		err = letters.Requeue(ctx, l.ID, func(msg *nats.Msg) error { msg.Data = []byte("1250"); return nil })
		if err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("booked:", <-booked)
	// Output:
	// invoices.1 is dead: deadletter: poison message: "12,50" is no amount
	// booked: 1250
}
