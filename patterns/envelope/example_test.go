package envelope_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/envelope"
)

// A shop sends a request to a bank. The reply names its cause.
func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	tracer := envelope.NewTracer(nil) // spans go where the program's go

	_, err = nc.Subscribe("bank.charge", func(m *nats.Msg) {
		if err := tracer.Serve(context.Background(), m, func(ctx context.Context, e envelope.Envelope, data []byte) error {
			reply := &nats.Msg{Data: []byte("done")}
			if err := envelope.Write(reply, e.Next("/bank", "card.charged", e.ID+".charged")); err != nil {
				return err
			}
			return m.RespondMsg(reply)
		}); err != nil {
			log.Print(err)
		}
	})
	if err != nil {
		log.Fatal(err)
	}

	order := envelope.New("/shop", "order.placed", "order-1")
	ask := &nats.Msg{Subject: "bank.charge", Data: []byte("12.50")}
	ctx, cancel := context.WithTimeout(context.Background(), nats.DefaultTimeout)
	defer cancel()
	reply, err := tracer.Request(ctx, nc, ask, order.Next("/shop", "card.charge", order.ID+".charge"))
	if err != nil {
		log.Fatal(err)
	}
	e, data, err := envelope.Read(reply.Header, reply.Data)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s\n", e.Type, data)
	fmt.Printf("of %s, because of %s\n", e.Correlation, e.Causation)
	// Output:
	// card.charged: done
	// of order-1, because of order-1.charge
}
