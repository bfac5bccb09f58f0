package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/outbox"
)

// An order and its event are one transaction; the relay publishes the event.
func Example() {
	nc, err := nats.Connect(natstest.URL()) // nats.DefaultURL, with a server of your own
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(5*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}}); err != nil {
		log.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:example?mode=memory&cache=shared")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(outbox.SQLite + `CREATE TABLE orders (id TEXT PRIMARY KEY)`); err != nil {
		log.Fatal(err)
	}

	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	if _, err := tx.Exec(`INSERT INTO orders VALUES ('order-7')`); err != nil {
		log.Fatal(err)
	}
	if err := outbox.Put(ctx, tx, "order-7", &nats.Msg{Subject: "orders.order-7.placed", Data: []byte("two teas")}); err != nil {
		log.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}

	relay, err := outbox.NewRelay(ctx, db, nc, js, "shop", outbox.Config{})
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- relay.Run(ctx) }()
	cons, err := js.OrderedConsumer(ctx, "ORDERS", jetstream.OrderedConsumerConfig{})
	if err != nil {
		log.Fatal(err)
	}
	m, err := cons.Next()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(m.Subject(), string(m.Data()))
	stop()
	fmt.Println("stopped:", <-done)
	// Output:
	// orders.order-7.placed two teas
	// stopped: <nil>
}
