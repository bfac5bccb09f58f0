package datatype_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datatype"
	"github.com/natspatterns/catalog/patterns/schema"
)

type loan struct {
	Book string `json:"book"`
	Days int    `json:"days" jsonschema:"minimum=1"`
}

// A consumer receives a valid message, and diverts an invalid one.
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
	loans, err := schema.Define[loan]("loan") // validates by the JSON Schema of the struct
	if err != nil {
		log.Fatal(err)
	}
	channel, err := datatype.NewChannel(ctx, js, "loan", loans, datatype.Config{}) // creates two streams if they do not exist
	if err != nil {
		log.Fatal(err)
	}
	_, err = channel.Publish(ctx, "r-7", loan{"Dune", 0})
	fmt.Println("published:", err == nil)
	if _, err := js.Publish(ctx, "datatype.loan.r-7", []byte("Dune, two weeks")); err != nil { // a publisher that does not use the channel
		log.Fatal(err)
	}
	if _, err := channel.Publish(ctx, "r-7", loan{"Dune", 14}); err != nil {
		log.Fatal(err)
	}

	cons, err := js.CreateConsumer(ctx, "DATATYPE_loan", jetstream.ConsumerConfig{Durable: "shelf", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	handle, err := channel.Guard(ctx, cons, func(_ context.Context, m datatype.Message[loan]) error {
		fmt.Printf("%s has %s for %d days\n", m.Key, m.Value.Book, m.Value.Days)
		close(done)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	consuming, err := cons.Consume(handle)
	if err != nil {
		log.Fatal(err)
	}
	<-done
	consuming.Stop()
	invalid, err := js.Stream(ctx, "INVALID_loan")
	if err != nil {
		log.Fatal(err)
	}
	bad, err := invalid.GetMsg(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", bad.Header.Get(datatype.HeaderReason), bad.Data)
	// Output:
	// published: false
	// r-7 has Dune for 14 days
	// invalid message: Dune, two weeks
}
