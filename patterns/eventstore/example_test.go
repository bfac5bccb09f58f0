package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
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
	accounts, err := eventstore.New(ctx, js, "accounts", eventstore.Config{})
	if err != nil {
		log.Fatal(err)
	}

	opened, err1 := eventstore.NewEvent("cmd-1", "opened", "Ann")
	deposited, err2 := eventstore.NewEvent("cmd-2", "deposited", 100)
	withdrawn, err3 := eventstore.NewEvent("cmd-3", "withdrawn", 80)
	if err := errors.Join(err1, err2, err3); err != nil {
		log.Fatal(err)
	}
	v2, err := accounts.Append(ctx, "ann", eventstore.Version{}, opened, deposited)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := accounts.Append(ctx, "ann", v2, withdrawn); err != nil {
		log.Fatal(err)
	}
	if v, err := accounts.Append(ctx, "ann", v2, withdrawn); err == nil {
		fmt.Println("retried, and stored once, as", v.N)
	}
	other, err := eventstore.NewEvent("cmd-4", "withdrawn", 50)
	if err != nil {
		log.Fatal(err)
	}
	_, err = accounts.Append(ctx, "ann", v2, other) // decided on a balance of 100
	fmt.Println(err)

	for e, err := range accounts.Load(ctx, "ann", eventstore.Version{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(e.Version.N, e.Type, string(e.Data))
	}
	// Output:
	// retried, and stored once, as 3
	// eventstore: append to ann: ann is at version 3, not 2
	// 1 opened "Ann"
	// 2 deposited 100
	// 3 withdrawn 80
}
