package bridgehead_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/server"
	"github.com/natspatterns/catalog/patterns/bridgehead"
)

func Example() {
	route := bridgehead.Route{Name: "orders", From: "edge", To: "hub", Subjects: []string{"orders.*.placed"}}
	permissions, err := bridgehead.Permissions("edge", route)
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "sites-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	sites, err := server.NewSites(dir, permissions) // two servers of your own, with the permissions in the hub's configuration
	if err != nil {
		log.Fatal(err)
	}
	defer sites.Stop()

	at := func(s *server.Server) jetstream.JetStream {
		nc, err := nats.Connect(s.ClientURL())
		if err != nil {
			log.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			log.Fatal(err)
		}
		return js
	}
	ctx, edge, hub := context.Background(), at(sites.Edge), at(sites.Hub)
	defer edge.Conn().Close()
	defer hub.Conn().Close()
	if _, err := bridgehead.Export(ctx, edge, route, bridgehead.Config{}); err != nil {
		log.Fatal(err)
	}
	in, err := bridgehead.Import(ctx, hub, route, bridgehead.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := edge.Publish(ctx, "orders.order-7.placed", []byte("tea")); err != nil {
		log.Fatal(err)
	}
	cons, err := in.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		log.Fatal(err)
	}
	msg, err := cons.Next()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(msg.Subject(), string(msg.Data()))
	// Output:
	// edge.orders.order-7.placed tea
}
