package schedule_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

// A reminder is planned, another cancelled, and the nightly report only listed.
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
	c, err := schedule.New(ctx, js, "office", schedule.Config{})
	if err != nil {
		log.Fatal(err)
	}
	soon := time.Now().Add(200 * time.Millisecond)
	for _, id := range []string{"tea", "coffee"} {
		if err := c.At(ctx, id, soon, &nats.Msg{Data: []byte("it is time for " + id)}); err != nil {
			log.Fatal(err)
		}
	}
	if err := c.Cron(ctx, "report", "0 30 3 * * *", "Europe/Amsterdam", &nats.Msg{Data: []byte("sales")}); err != nil {
		log.Fatal(err)
	}
	cancelled, err := c.Cancel(ctx, "coffee")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("coffee cancelled:", cancelled)

	cons, err := c.Consumer(ctx, "phone")
	if err != nil {
		log.Fatal(err)
	}
	m, err := cons.Next()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s; early: %v\n", schedule.ReadEntry(m).ID, m.Data(), time.Now().Before(soon))
	if err := m.Ack(); err != nil {
		log.Fatal(err)
	}
	plans, err := c.List(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range plans {
		fmt.Println("planned:", p.ID, p.When)
	}
	// Output:
	// coffee cancelled: true
	// tea: it is time for tea; early: false
	// planned: report 0 30 3 * * * Europe/Amsterdam
}
