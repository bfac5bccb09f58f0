package perkey_test

import (
	"context"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// page is a ledger of one account. A database does this in a transaction.
type page struct {
	version uint64
	done    chan struct{}
}

func (p *page) Last(context.Context, string) (uint64, error) { return p.version, nil }

func (p *page) Apply(_ context.Context, e perkey.Event) error {
	if e.Version != p.version+1 {
		return fmt.Errorf("version %d does not follow %d", e.Version, p.version)
	}
	p.version = e.Version
	fmt.Printf("%s %d: %s\n", e.Key, e.Version, e.Data)
	if p.version == 3 {
		close(p.done)
	}
	return nil
}

// Events published in the wrong order are applied in order.
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
	defer stop()
	d, err := perkey.NewDispatcher(ctx, js, "accounts", "ledger", perkey.Config{})
	if err != nil {
		log.Fatal(err)
	}
	p, ended := &page{done: make(chan struct{})}, make(chan error)
	go func() { ended <- d.Run(ctx, p) }()

	for _, e := range []perkey.Event{
		{Key: "account-1", Version: 3, Data: []byte("withdraw 20")},
		{Key: "account-1", Version: 2, Data: []byte("deposit 100")},
		{Key: "account-1", Version: 1, Data: []byte("opened")},
	} {
		if err := perkey.Publish(ctx, js, "accounts", e); err != nil {
			log.Fatal(err)
		}
	}
	<-p.done
	stop()
	fmt.Println("stopped:", <-ended)
	// Output:
	// account-1 1: opened
	// account-1 2: deposit 100
	// account-1 3: withdraw 20
	// stopped: <nil>
}
