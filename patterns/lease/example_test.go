package lease_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
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
	candidate, err := lease.NewCandidate(ctx, js, "billing", "billing-1", lease.Config{})
	if err != nil {
		log.Fatal(err)
	}
	err = candidate.Run(ctx, func(ctx context.Context, t *lease.Term) error {
		fmt.Println("billing-1 leads")
		if _, err := t.Put(ctx, "last-run", []byte("2026-07-01")); err != nil {
			return err // ErrFenced: another instance leads
		}
		stop() // only in this example; a leader works until ctx ends
		<-ctx.Done()
		return nil
	})
	fmt.Println("stopped:", err)
	// Output:
	// billing-1 leads
	// stopped: <nil>
}
