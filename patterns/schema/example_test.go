package schema_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schema"
)

type (
	loan1 struct {
		Book string `json:"book"`
	}
	loan2 struct {
		Book string `json:"book"`
		Days int    `json:"days"`
	}
)

// A reader of version 1 meets an event of version 2, and one that is no event.
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
	// The old program and the new one each know the type as of their day.
	old, err := schema.Define[loan1]("loan")
	if err != nil {
		log.Fatal(err)
	}
	now, err := schema.Define[loan2]("loan", schema.Extend(func(l loan1) (loan2, error) { return loan2{l.Book, 14}, nil }))
	if err != nil {
		log.Fatal(err)
	}
	desk, err := schema.NewChannel(ctx, js, now, schema.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := js.Publish(ctx, "schema.loan.r-7", []byte("Dune, two weeks")); err != nil { // someone goes round the channel
		log.Fatal(err)
	}
	if _, err := desk.Publish(ctx, "r-7", loan2{"Dune", 14}); err != nil {
		log.Fatal(err)
	}

	shelf, err := schema.NewChannel(ctx, js, old, schema.Config{})
	if err != nil {
		log.Fatal(err)
	}
	cons, err := js.CreateConsumer(ctx, "SCHEMA_loan", jetstream.ConsumerConfig{Durable: "shelf", AckPolicy: jetstream.AckExplicitPolicy, MaxDeliver: -1})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan struct{})
	handle, err := shelf.Guard(ctx, cons, func(_ context.Context, m schema.Message[loan1]) error {
		fmt.Printf("%s has %s, told in version %d\n", m.Key, m.Value.Book, m.Format.Version)
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
	fmt.Printf("%s: %s\n", bad.Header.Get(schema.HeaderReason), bad.Data)
	// Output:
	// r-7 has Dune, told in version 2
	// no format indicator: Dune, two weeks
}
