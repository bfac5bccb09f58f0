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

// The old program reads a message of the new one, and the new program one of the old.
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
	// The old program and the new one each know their versions.
	old, err := schema.Define[loan1]("loan")
	if err != nil {
		log.Fatal(err)
	}
	current, err := schema.Define[loan2]("loan", schema.Extend(func(l loan1) (loan2, error) { return loan2{l.Book, 14}, nil }))
	if err != nil {
		log.Fatal(err)
	}
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "LOANS", Subjects: []string{"loans.*"}})
	if err != nil {
		log.Fatal(err)
	}

	header, data, err := current.Encode(loan2{"Dune", 30})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: "loans.r-7", Header: header, Data: data}); err != nil {
		log.Fatal(err)
	}
	header, data, err = old.Encode(loan1{"Emma"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: "loans.r-8", Header: header, Data: data}); err != nil {
		log.Fatal(err)
	}

	first, err := stream.GetMsg(ctx, 1)
	if err != nil {
		log.Fatal(err)
	}
	v1, err := old.Decode(first.Header, first.Data) // ignores the field that version 2 added
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("the old program reads %+v\n", v1)
	second, err := stream.GetMsg(ctx, 2)
	if err != nil {
		log.Fatal(err)
	}
	v2, err := current.Decode(second.Header, second.Data) // upcasts
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("the new program reads %+v\n", v2)
	_, err = current.Decode(first.Header, []byte(`{"book":"Dune","days":"two weeks"}`))
	fmt.Println(err)
	// Output:
	// the old program reads {Book:Dune}
	// the new program reads {Book:Emma Days:14}
	// schema: invalid payload: days: got string, want integer
}
