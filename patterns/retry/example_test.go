package retry_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/retry"
)

func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	r, err := retry.NewRetrier(retry.Config{}) // one for each dependency
	if err != nil {
		log.Fatal(err)
	}

	attempt := 0
	request := func(ctx context.Context) error {
		attempt++
		if attempt == 3 { // the service starts now
			if _, err := nc.Subscribe("prices", func(m *nats.Msg) { _ = m.Respond([]byte("250")) }); err != nil {
				return err
			}
		}
		reply, err := nc.RequestWithContext(ctx, "prices", []byte("tea"))
		if err != nil {
			fmt.Printf("attempt %d: %v\n", attempt, err)
			return err
		}
		fmt.Printf("attempt %d: tea costs %s\n", attempt, reply.Data)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err = r.Do(ctx, request)
	if errors.Is(err, retry.ErrOpen) {
		fmt.Println("the service is down; use the price of yesterday")
	}
	fmt.Println(err)
	// Output:
	// attempt 1: nats: no responders available for request
	// attempt 2: nats: no responders available for request
	// attempt 3: tea costs 250
	// <nil>
}
