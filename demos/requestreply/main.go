// Command requestreply shows a customer that requests prices from shops: a reply, an
// error reply, a timeout, replies of many shops, and a stream that captures the subject.
package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

var play = demo.Play{
	Name:    "requestreply",
	About:   "a customer requests prices: a reply, an error reply, a timeout, many replies, a captured subject",
	Lasts:   12 * time.Second,
	Streams: []string{"QUOTES"},
	Scene:   [2]time.Duration{0, 4500 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

type (
	quote struct {
		SKU string `json:"sku"`
	}
	price struct {
		Shop  string `json:"shop"`
		Cents int    `json:"cents"`
	}
)

func cast(e *demo.Env) error {
	shop := func(name string, cents int, thinks time.Duration) {
		e.Go(name, func(ctx context.Context, nc *nats.Conn) error {
			if !e.At(900 * time.Millisecond) {
				return nil
			}
			r, err := requestreply.NewResponder(ctx, nc, "shop", requestreply.Config{Version: "1.0.0"},
				requestreply.Handle("shops."+name+".quote", func(ctx context.Context, q quote) (price, error) {
					switch q.SKU {
					case "unicorn":
						return price{}, &requestreply.Error{Code: "404", Text: "we have no unicorns"}
					case "piano":
						select {
						case <-time.After(3 * time.Second):
						case <-ctx.Done():
							time.Sleep(100 * time.Millisecond)
							e.Printf("%s: the customer no longer waits, so I stop looking", name)
							return price{}, ctx.Err()
						}
					}
					return price{name, cents}, nil
				}),
				requestreply.Handle("shops.quote", func(_ context.Context, _ quote) (price, error) {
					time.Sleep(thinks)
					return price{name, cents}, nil
				}).Each())
			if err != nil {
				return err
			}
			return r.Run(ctx)
		})
	}
	shop("alma", 250, 100*time.Millisecond)
	shop("bert", 180, 200*time.Millisecond)
	shop("cleo", 210, 2*time.Second)

	e.Go("customer", func(ctx context.Context, nc *nats.Conn) error {
		request := func(at time.Duration, subject, sku string, timeout time.Duration) {
			if !e.At(at) {
				return
			}
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			start := time.Now()
			p, err := requestreply.Request[quote, price](ctx, nc, subject, quote{sku})
			took := time.Since(start).Round(10 * time.Millisecond)
			var refused *requestreply.Error
			switch {
			case err == nil:
				e.Printf("%s costs %d cents at %s", sku, p.Cents, p.Shop)
			case errors.Is(err, requestreply.ErrNoResponders):
				e.Printf("no shop is open for %s: no responders, after %v", sku, took)
			case errors.As(err, &refused):
				e.Printf("error %s: %s", refused.Code, refused.Text)
			case errors.Is(err, context.DeadlineExceeded):
				e.Printf("no reply about the %s within %v", sku, took)
			default:
				e.Printf("failed: %v", strings.TrimPrefix(err.Error(), "requestreply: "))
			}
		}
		e.At(400 * time.Millisecond)
		e.Tell("The shops are closed: no responder is subscribed. The server knows that, and the\nrequest fails at once.")
		request(500*time.Millisecond, "shops.alma.quote", "tea", time.Second)

		if !e.At(1400 * time.Millisecond) {
			return nil
		}
		e.Tell("The shops open. alma has tea, but no unicorn: an error reply has a code and a text.")
		request(1500*time.Millisecond, "shops.alma.quote", "tea", time.Second)
		request(2000*time.Millisecond, "shops.alma.quote", "unicorn", time.Second)

		if !e.At(2400 * time.Millisecond) {
			return nil
		}
		e.Tell("alma needs three seconds to find a piano, and the customer waits for one second. The\nrequest carries its timeout, so the handler stops too.")
		request(2500*time.Millisecond, "shops.alma.quote", "piano", time.Second)
		request(3800*time.Millisecond, "shops.alma.quote", "tea", time.Second)

		if !e.At(4400 * time.Millisecond) {
			return nil
		}
		e.Tell("One request to all shops. cleo needs two seconds. All ends when no reply arrives for\nhalf a second.")
		e.At(4500 * time.Millisecond)
		for p, err := range requestreply.All[quote, price](ctx, nc, "shops.quote", quote{"tea"}, requestreply.Many{Stall: 500 * time.Millisecond}) {
			if err != nil {
				return err
			}
			e.Printf("%s offers %d cents", p.Shop, p.Cents)
		}
		e.Printf("the customer has all the replies that it waits for")
		if !e.At(7400 * time.Millisecond) {
			return nil
		}
		e.Tell("A stream now captures shops.>. Each request has two replies: first the ack of the\nstream, then the reply of the shop, which is dropped.")
		js, err := e.JetStream(nc)
		if err != nil {
			return err
		}
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "QUOTES", Subjects: []string{"shops.>"}, Metadata: e.Mark()}); err != nil {
			return err
		}
		request(7500*time.Millisecond, "shops.cleo.quote", "piano", time.Second)
		return nil
	})
	return nil
}
