// Command pubsub shows a shop that publishes events of its orders, and subscribers that
// are fast, slow, or subscribe late.
package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

var play = demo.Play{
	Name:  "pubsub",
	About: "a shop publishes events to several subscribers; one is slow, one subscribes late",
	Lasts: 9 * time.Second,
	Scene: [2]time.Duration{0, 3 * time.Second},
	Cast:  cast,
}

func main() { play.Main() }

type order struct {
	Customer string `json:"customer,omitempty"`
	Total    int    `json:"total,omitempty"`
}

func cast(e *demo.Env) error {
	subscribe := func(name, pattern string, from time.Duration, cfg pubsub.Config, takes time.Duration) {
		cfg.Log = slog.New(slog.NewTextHandler(lines{e, name}, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
		e.Go(name, func(ctx context.Context, nc *nats.Conn) error {
			if !e.At(from) {
				return nil
			}
			sub, err := pubsub.NewSubscriber[order](ctx, nc, pattern, cfg)
			if err != nil {
				return err
			}
			return sub.Run(ctx, func(_ context.Context, m pubsub.Message[order]) error {
				time.Sleep(takes) // what it has to do
				if name == "billing" && m.Body.Total < 0 {
					return errors.New("a negative total")
				}
				e.Printf("%s receives %s", name, m.Subject)
				return nil
			})
		})
	}
	subscribe("billing", "orders.*.placed", 0, pubsub.Config{}, 10*time.Millisecond)
	subscribe("support", "orders.>", 0, pubsub.Config{}, 30*time.Millisecond)
	subscribe("slowpoke", "views.>", 0, pubsub.Config{Prefetch: 2}, time.Second)
	subscribe("latecomer", "orders.>", 2500*time.Millisecond, pubsub.Config{}, 50*time.Millisecond)

	e.Go("shop", func(_ context.Context, nc *nats.Conn) error {
		publish := func(at time.Duration, subject string, o order) error {
			if !e.At(at) {
				return nil
			}
			return pubsub.Publish(nc, subject, o)
		}
		if !e.At(400 * time.Millisecond) {
			return nil
		}
		e.Tell("The shop publishes events: what happened, in the past tense. It does not know the\nsubscribers. Billing subscribes to placed orders, support to all events of orders.")
		err := errors.Join(
			publish(500*time.Millisecond, "orders.order-1.placed", order{"ann", 1995}),
			publish(1000*time.Millisecond, "orders.order-1.paid", order{Total: 1995}),
		)
		if err != nil || !e.At(1400*time.Millisecond) {
			return err
		}
		e.Tell("Billing's handler fails for order-2. The error is logged, and the subscription goes on.")
		err = errors.Join(
			publish(1500*time.Millisecond, "orders.order-2.placed", order{"bob", -1}),
			publish(2000*time.Millisecond, "orders.order-3.placed", order{"eve", 4200}),
		)
		if err != nil || !e.At(2900*time.Millisecond) {
			return err
		}
		e.Tell("A latecomer has subscribed at 2.5 s. NATS stores nothing here: it receives only\nwhat is published from now on.")
		if err := publish(3*time.Second, "orders.order-3.paid", order{Total: 4200}); err != nil || !e.At(3400*time.Millisecond) {
			return err
		}
		e.Tell("One customer opens an article, and then five more at once. The slowpoke needs a\nsecond for each, and has a Prefetch of 2. The rest is dropped, and logged.")
		for i := range 6 {
			at := 3500 * time.Millisecond
			if i > 0 {
				at += 100 * time.Millisecond
			}
			if err := publish(at, "views.article-9.opened", order{}); err != nil {
				return err
			}
		}
		if !e.At(7900 * time.Millisecond) {
			return nil
		}
		e.Tell("Without any subscriber, the message is lost. The shop is not notified.")
		return publish(8*time.Second, "shipments.order-3.left", order{})
	})
	return nil
}

// lines prints what a subscriber logs.
type lines struct {
	e    *demo.Env
	name string
}

func (l lines) Write(p []byte) (int, error) {
	l.e.Printf("%s logs %s", l.name, strings.TrimSpace(string(p)))
	return len(p), nil
}

func withoutTime(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}
