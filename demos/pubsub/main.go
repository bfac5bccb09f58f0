// Command pubsub shows a shop telling what happens to its orders, and who hears it:
// those who are there, those who are slow, and those who come late.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

var play = demo.Play{
	Name:  "pubsub",
	About: "a shop tells what happens to its orders; some hear it, one is slow, one comes late",
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
	hears := func(name, pattern string, from time.Duration, cfg pubsub.Config, takes time.Duration) {
		e.Go(name, func(ctx context.Context, nc *nats.Conn) error {
			if !e.At(from) {
				return nil
			}
			cfg.Report = func(f pubsub.Failure) {
				if errors.Is(f.Err, pubsub.ErrDropped) {
					e.Printf("%s is told: %v", name, f.Err)
					return
				}
				e.Printf("%s fails on %s: %v", name, f.Subject, f.Err)
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
				e.Printf("%s hears %s", name, m.Subject)
				return nil
			})
		})
	}
	hears("billing", "orders.*.placed", 0, pubsub.Config{}, 10*time.Millisecond)
	hears("support", "orders.>", 0, pubsub.Config{}, 30*time.Millisecond)
	hears("slowpoke", "views.>", 0, pubsub.Config{Pending: 2}, time.Second)
	hears("latecomer", "orders.>", 2500*time.Millisecond, pubsub.Config{}, 50*time.Millisecond)

	e.Go("shop", func(_ context.Context, nc *nats.Conn) error {
		say := func(at time.Duration, subject string, o order) error {
			if !e.At(at) {
				return nil
			}
			return pubsub.Publish(nc, subject, o)
		}
		if !e.At(400 * time.Millisecond) {
			return nil
		}
		e.Tell("The shop says what happened, in the past tense, and to nobody in particular.\nBilling listens for orders placed; support listens to everything.")
		err := errors.Join(
			say(500*time.Millisecond, "orders.order-1.placed", order{"ann", 1995}),
			say(1000*time.Millisecond, "orders.order-1.paid", order{Total: 1995}),
		)
		if err != nil || !e.At(1400*time.Millisecond) {
			return err
		}
		e.Tell("A handler that fails is reported, and the subscription goes on.")
		err = errors.Join(
			say(1500*time.Millisecond, "orders.order-2.placed", order{"bob", -1}),
			say(2000*time.Millisecond, "orders.order-3.placed", order{"eve", 4200}),
		)
		if err != nil || !e.At(2900*time.Millisecond) {
			return err
		}
		e.Tell("Somebody has come late. What was said before is gone for them: nothing is\nstored. They hear what comes now.")
		if err := say(3*time.Second, "orders.order-3.paid", order{Total: 4200}); err != nil || !e.At(3400*time.Millisecond) {
			return err
		}
		e.Tell("Now one customer looks at an article, and then five more at once. The slowpoke\nneeds a second for each and has room for two that wait. The rest it loses, and is told how many.")
		for i := range 6 {
			at := 3500 * time.Millisecond
			if i > 0 {
				at += 100 * time.Millisecond
			}
			if err := say(at, "views.article-9.opened", order{}); err != nil {
				return err
			}
		}
		if !e.At(7900 * time.Millisecond) {
			return nil
		}
		e.Tell("And with nobody listening at all, the shop does not notice.")
		return say(8*time.Second, "shipments.order-3.left", order{})
	})
	return nil
}
