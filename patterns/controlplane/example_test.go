package controlplane_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
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
	controller, err := lease.NewCandidate(ctx, js, "lease", "controller-1", lease.Config{Bucket: "control"})
	if err != nil {
		log.Fatal(err)
	}
	agent, err := controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		err := controller.Run(ctx, func(ctx context.Context, t *lease.Term) error {
			_, err := controlplane.Set(ctx, t, "web", "", controlplane.Desired{State: controlplane.Running, Rate: 10}, controlplane.Config{})
			<-ctx.Done()
			return err
		})
		if err != nil {
			log.Print(err)
		}
	}()
	err = agent.Run(ctx, func(_ context.Context, d controlplane.Desired) error {
		fmt.Println("now", d.State, "at", d.Rate, "a second")
		stop()
		return nil
	})
	fmt.Println("stopped:", err)
	// Output:
	// now running at 10 a second
	// stopped: <nil>
}
