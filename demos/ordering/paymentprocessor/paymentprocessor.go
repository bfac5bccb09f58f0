// Package paymentprocessor has each order that is placed paid, or declined.
package paymentprocessor

import (
	"context"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// Bank charges cards. A key that it has seen before is answered as before, and
// nothing is charged again: without that, an order whose answer was lost would be
// paid twice.
type Bank interface {
	Charge(ctx context.Context, key, card string, amount int64, currency string) (approved bool, err error)
}

// Run charges until ctx ends. What was placed while it did not run is charged when
// it runs again: its durable subscription remembers.
func Run(ctx context.Context, nc *nats.Conn, store *eventstore.Store, bank Bank) error {
	sub, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "payment-on-placed", Types: []string{string(order.Placed)}})
	if err != nil {
		return err
	}
	return sub.Run(ctx, func(ctx context.Context, e eventstore.Event) error {
		o, err := orderstorage.Get(ctx, nc, e.Entity)
		if err != nil || o.Status != order.Placed {
			return err // comes again, unless it has been decided already
		}
		card, err := orderstorage.Card(ctx, nc, o.ID)
		if err != nil {
			return err
		}
		approved, err := bank.Charge(ctx, o.ID, card, o.Total, o.Currency)
		if err != nil {
			return err
		}
		return orderstorage.Record(ctx, nc, decide(o, approved))
	})
}

func decide(o order.Order, approved bool) order.Fact {
	if !approved {
		return order.Fact{Order: o.ID, Status: order.Declined, Reason: "the card was declined"}
	}
	return order.Fact{Order: o.ID, Status: order.Paid}
}
