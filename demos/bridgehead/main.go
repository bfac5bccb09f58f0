// Command bridgehead shows a bakery in town and its branch on an island. They exchange
// messages of two routes, and nothing else, over a cable that is cut.
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
	About: "two sites over a cable that is cut: messages of the routes arrive once and in order, and nothing else",
	Lasts: time.Minute, // it ends earlier by itself
	Cast:  cast,
}

func main() { play.Main() }

var routes = []bridgehead.Route{
	{Name: "orders", From: "edge", To: "hub", Subjects: []string{"orders.>"}, Prefix: "island"},
	{Name: "prices", From: "hub", To: "edge", Subjects: []string{"prices.>"}, Prefix: "town"},
}

// cast starts two servers, because a link needs two. So it runs in real time, and
// -server has no effect.
func cast(e *demo.Env) error {
	e.Go("story", func(ctx context.Context, _ *nats.Conn) error {
		e.Tell("A bakery in town is the hub, its branch on an island the edge: two servers, and a\ncable between them. One route takes orders to town, the other takes prices to the\nisland. The permissions are in the configuration of the hub.")
		permissions, err := bridgehead.Permissions("edge", routes...)
		if err != nil {
			return err
		}
		err = with(ctx, e, permissions, restricted)
		if err != nil || ctx.Err() != nil {
			return err
		}
		e.Tell("Now without permissions, and with a program in town that subscribes to the\nmessages of the island.")
		return with(ctx, e, "", open)
	})
	return nil
}

// places are the sites, with a client at each.
type places struct {
	*server.Sites
	town, island jetstream.JetStream
}

func with(ctx context.Context, e *demo.Env, permissions string, act func(ctx context.Context, e *demo.Env, p *places) error) (err error) {
	dir, err := os.MkdirTemp("", "bridgehead-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	p := &places{}
	if p.Sites, err = server.NewSites(dir, permissions); err != nil {
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

func restricted(ctx context.Context, e *demo.Env, p *places) error {
	ends := []struct {
		from, to jetstream.JetStream
		route    bridgehead.Route
	}{{p.island, p.town, routes[0]}, {p.town, p.island, routes[1]}}
	for _, end := range ends {
		if _, err := bridgehead.Export(ctx, end.from, end.route, bridgehead.Config{}); err != nil {
			return err
		}
		if _, err := bridgehead.Import(ctx, end.to, end.route, bridgehead.Config{}); err != nil {
			return err
		}
	}
	publish := func(js jetstream.JetStream, subject string, from, to int) error {
		for i := from; i <= to; i++ {
			if _, err := js.Publish(ctx, subject, fmt.Append(nil, i)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := errors.Join(publish(p.island, "orders.rolls", 1, 3), publish(p.town, "prices.rolls", 1, 1)); err != nil {
		return err
	}
	if err := errors.Join(show(ctx, e, "town", p.town, "IN_orders", 3), show(ctx, e, "the island", p.island, "IN_prices", 1)); err != nil {
		return err
	}
	e.Tell("The cable is cut. Both sites go on; the messages wait.")
	if err := p.Cut(); err != nil {
		return err
	}
	if err := errors.Join(publish(p.island, "orders.rolls", 4, 6), publish(p.town, "prices.rolls", 2, 3)); err != nil {
		return err
	}
	link, err := bridgehead.ReadLink(ctx, p.town, routes[0])
	if err != nil {
		return err
	}
	e.Printf("the island has stored orders 4 to 6; town has received %d", link.Received)
	e.Tell("The cable is repaired. All messages arrive, once and in order.")
	if err := p.Join(); err != nil {
		return err
	}
	if err := errors.Join(show(ctx, e, "town", p.town, "IN_orders", 6), show(ctx, e, "the island", p.island, "IN_prices", 3)); err != nil {
		return err
	}
	e.Tell("The island's till publishes too, on a subject without a route.")
	received, err := p.town.Conn().SubscribeSync("till.>")
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
	n, _, err := received.Pending()
	e.Printf("of 20 messages of the till, town has received %d", n)
	return err
}

// show waits until n messages have arrived in a stream, and prints all of them.
func show(ctx context.Context, e *demo.Env, where string, js jetstream.JetStream, stream string, n int) error {
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
	received, err := p.town.Conn().SubscribeSync(">")
	if err != nil {
		return err
	}
	if err := p.town.Conn().Flush(); err != nil {
		return err
	}
	publish := func(subject string) error {
		return errors.Join(p.island.Conn().Publish(subject, nil), p.island.Conn().Flush())
	}
	receives := func(subject string) bool { // it ignores other messages
		for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
			if msg, err := received.NextMsg(50 * time.Millisecond); err == nil && msg.Subject == subject {
				return true
			}
		}
		return false
	}
	for try := 0; ; try++ { // until the interest of town is known on the island
		if err := publish("till.drawer"); err != nil {
			return err
		}
		if receives("till.drawer") {
			break
		}
		if try > 50 || ctx.Err() != nil {
			return errors.New("town receives nothing from the island")
		}
	}
	e.Printf("town receives the till")
	if err := p.Cut(); err != nil {
		return err
	}
	if err := publish("orders.rolls"); err != nil {
		return err
	}
	if err := p.Join(); err != nil {
		return err
	}
	if receives("orders.rolls") {
		return errors.New("town received an order that was published while the cable was cut")
	}
	e.Printf("an order published while the cable was cut is lost, without an error")
	return nil
}
