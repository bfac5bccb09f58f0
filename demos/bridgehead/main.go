// Command bridgehead shows a bakery in town and its branch on an island, which
// exchange what they have agreed on over a cable that is cut, and nothing else.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/server"
	"github.com/natspatterns/catalog/patterns/bridgehead"
)

var play = demo.Play{
	Name:  "bridgehead",
	About: "two sites over a cable that is cut: what was agreed arrives, once and in order, and nothing else",
	Lasts: time.Minute, // it ends by itself before
	Cast:  cast,
}

func main() { play.Main() }

var treaties = []bridgehead.Treaty{
	{Name: "orders", From: "edge", To: "hub", Subjects: []string{"orders.>"}, Prefix: "island"},
	{Name: "prices", From: "hub", To: "edge", Subjects: []string{"prices.>"}, Prefix: "town"},
}

// cast brings two servers of its own, for a link needs two; so it plays in real
// time, and -server has no use here.
func cast(e *demo.Env) error {
	e.Go("story", func(ctx context.Context, _ *nats.Conn) error {
		e.Tell("A bakery in town, the hub, and its branch on an island, the edge: two servers, and\na cable between them. They have agreed that orders go to town, and prices to the\nisland. The agreement is in the hub's configuration.")
		border, err := bridgehead.Border("edge", treaties...)
		if err != nil {
			return err
		}
		err = with(ctx, e, border, bordered)
		if err != nil || ctx.Err() != nil {
			return err
		}
		e.Tell("Now the same without a border, and with a program that listens in town for what\nthe island says.")
		return with(ctx, e, "", open)
	})
	return nil
}

// places are the sites, with a client at each.
type places struct {
	*server.Sites
	town, island jetstream.JetStream
}

func with(ctx context.Context, e *demo.Env, border string, act func(ctx context.Context, e *demo.Env, p *places) error) (err error) {
	dir, err := os.MkdirTemp("", "bridgehead-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p := &places{}
	if p.Sites, err = server.NewSites(dir, border); err != nil {
		return err
	}
	defer p.Stop()
	for srv, js := range map[*server.Server]*jetstream.JetStream{p.Hub: &p.town, p.Edge: &p.island} {
		nc, err := nats.Connect(srv.ClientURL())
		if err != nil {
			return err
		}
		defer nc.Close()
		if *js, err = jetstream.New(nc); err != nil {
			return err
		}
	}
	return act(ctx, e, p)
}

func bordered(ctx context.Context, e *demo.Env, p *places) error {
	ends := []struct {
		from, to jetstream.JetStream
		treaty   bridgehead.Treaty
	}{{p.island, p.town, treaties[0]}, {p.town, p.island, treaties[1]}}
	for _, end := range ends {
		if _, err := bridgehead.Export(ctx, end.from, end.treaty, bridgehead.Config{}); err != nil {
			return err
		}
		if _, err := bridgehead.Import(ctx, end.to, end.treaty, bridgehead.Config{}); err != nil {
			return err
		}
	}
	say := func(js jetstream.JetStream, subject string, from, to int) error {
		for i := from; i <= to; i++ {
			if _, err := js.Publish(ctx, subject, fmt.Append(nil, i)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(say(p.island, "orders.rolls", 1, 3), say(p.town, "prices.rolls", 1, 1)); err != nil {
		return err
	}
	if err := errors.Join(tell(ctx, e, "town", p.town, "IN_orders", 3), tell(ctx, e, "the island", p.island, "IN_prices", 1)); err != nil {
		return err
	}
	e.Tell("The cable is cut. Both go on; what was agreed waits.")
	if err := p.Cut(); err != nil {
		return err
	}
	if err := errors.Join(say(p.island, "orders.rolls", 4, 6), say(p.town, "prices.rolls", 2, 3)); err != nil {
		return err
	}
	link, err := bridgehead.Read(ctx, p.town, treaties[0])
	if err != nil {
		return err
	}
	e.Printf("the island has taken orders 4 to 6; town knows of %d", link.Crossed)
	e.Tell("It is mended. All that waited arrives, once, in order.")
	if err := p.Join(); err != nil {
		return err
	}
	if err := errors.Join(tell(ctx, e, "town", p.town, "IN_orders", 6), tell(ctx, e, "the island", p.island, "IN_prices", 3)); err != nil {
		return err
	}
	e.Tell("The island's till talks too, on a subject that nobody agreed on.")
	heard, err := p.town.Conn().SubscribeSync("till.>")
	if err != nil {
		return err
	}
	if err := p.town.Conn().Flush(); err != nil {
		return err
	}
	for range 20 {
		if err := p.island.Conn().Publish("till.drawer", []byte("312.50")); err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	n, _, err := heard.Pending()
	e.Printf("of 20 words about the till, town has heard %d", n)
	return err
}

// tell waits until n messages have arrived in a stream, and prints all of them.
func tell(ctx context.Context, e *demo.Env, where string, js jetstream.JetStream, stream string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	cons, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	batch, err := cons.Fetch(n, jetstream.FetchContext(ctx))
	if err != nil {
		return err
	}
	var got []string
	for msg := range batch.Messages() {
		got = append(got, fmt.Sprintf("%s %s", msg.Subject(), msg.Data()))
	}
	e.Printf("%s has %s", where, strings.Join(got, ", "))
	return batch.Error()
}

func open(ctx context.Context, e *demo.Env, p *places) error {
	heard, err := p.town.Conn().SubscribeSync(">")
	if err != nil {
		return err
	}
	if err := p.town.Conn().Flush(); err != nil {
		return err
	}
	say := func(subject string) error {
		return errors.Join(p.island.Conn().Publish(subject, nil), p.island.Conn().Flush())
	}
	listens := func(subject string) bool { // whatever else is said meanwhile
		for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
			if msg, err := heard.NextMsg(50 * time.Millisecond); err == nil && msg.Subject == subject {
				return true
			}
		}
		return false
	}
	for try := 0; ; try++ { // until the interest of town is known on the island
		if err := say("till.drawer"); err != nil {
			return err
		}
		if listens("till.drawer") {
			break
		}
		if try > 50 || ctx.Err() != nil {
			return errors.New("town hears nothing of the island")
		}
	}
	e.Printf("town hears the till")
	if err := p.Cut(); err != nil {
		return err
	}
	if err := say("orders.rolls"); err != nil {
		return err
	}
	if err := p.Join(); err != nil {
		return err
	}
	if listens("orders.rolls") {
		return errors.New("town heard an order that was given while the cable was cut")
	}
	e.Printf("an order given while the cable was cut: town has never heard of it, and nobody was told")
	return nil
}
