package requestreply_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()

	type Quote struct{ SKU string }
	type Price struct{ Cents int }
	ctx, stop := context.WithCancel(context.Background())
	quote := requestreply.Handle("prices.quote", func(_ context.Context, q Quote) (Price, error) {
		if q.SKU != "apple" {
			return Price{}, &requestreply.Error{Code: "404", Text: "no such sku"}
		}
		return Price{Cents: 30}, nil
	})
	r, err := requestreply.NewResponder(ctx, nc, "prices", requestreply.Config{}, quote)
	if err != nil {
		log.Fatal(err)
	}

	for _, sku := range []string{"apple", "pear"} {
		price, err := requestreply.Request[Quote, Price](ctx, nc, "prices.quote", Quote{sku})
		var refused *requestreply.Error
		if errors.As(err, &refused) {
			fmt.Println(sku, "refused:", refused)
		} else if err != nil {
			log.Fatal(err)
		} else {
			fmt.Println(sku, price.Cents)
		}
	}
	stop()
	fmt.Println("stopped:", r.Run(ctx))
	// Output:
	// apple 30
	// pear refused: 404: no such sku
	// stopped: <nil>
}
