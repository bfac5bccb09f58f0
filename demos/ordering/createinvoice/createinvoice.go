// Package createinvoice writes an invoice for each order that is paid, and shows it
// to whoever asks.
package createinvoice

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/patterns/eventstore"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// Bucket is where the invoices are kept.
const Bucket = "invoices"

// Invoice is a bill. Money is in minor units.
type Invoice struct {
	ID       string         `json:"id"`
	Order    string         `json:"order"`
	Customer order.Customer `json:"customer"`
	Lines    []Line         `json:"lines"`
	Currency string         `json:"currency"`
	Total    int64          `json:"total"`
	Issued   time.Time      `json:"issued"`
}

// Line is an item and what it comes to.
type Line struct {
	order.Item
	Amount int64 `json:"amount"`
}

type get struct {
	ID string `json:"id"`
}

// Get returns an invoice.
func Get(ctx context.Context, nc *nats.Conn, id string) (Invoice, error) {
	return requestreply.Request[get, Invoice](ctx, nc, "invoices.get", get{id})
}

// Run writes invoices until ctx ends. The bucket has to exist.
func Run(ctx context.Context, nc *nats.Conn, kv jetstream.KeyValue, store *eventstore.Store) error {
	sub, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "invoice-on-paid", Types: []string{string(order.Paid)}})
	if err != nil {
		return err
	}
	r, err := requestreply.NewResponder(ctx, nc, "create-invoice", requestreply.Config{Version: "1.0.0", Description: "writes invoices"},
		requestreply.Handle("invoices.get", func(ctx context.Context, req get) (inv Invoice, err error) {
			e, err := kv.Get(ctx, req.ID)
			if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
				return inv, &requestreply.Error{Code: orderstorage.NotFound, Text: "there is no such invoice"}
			}
			if err != nil {
				return inv, err
			}
			return inv, json.Unmarshal(e.Value(), &inv)
		}))
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.Run(ctx) })
	group.Go(func() error { return sub.Run(ctx, invoice(nc, kv)) })
	return group.Wait()
}

// invoice writes the invoice of an order that was paid.
func invoice(nc *nats.Conn, kv jetstream.KeyValue) eventstore.Handler {
	return func(ctx context.Context, e eventstore.Event) error {
		o, err := orderstorage.Get(ctx, nc, e.Entity)
		if err != nil {
			return err
		}
		inv := write(o, e.Time)
		data, err := json.Marshal(inv)
		if err != nil {
			return err
		}
		// The id is the order's, so that an order has one invoice, written once.
		if _, err := kv.Create(ctx, inv.ID, data); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
			return err
		}
		return orderstorage.Record(ctx, nc, order.Fact{Order: o.ID, Status: order.Invoiced, Invoice: inv.ID})
	}
}

// write makes the invoice of an order that was paid at a time.
func write(o order.Order, paid time.Time) Invoice {
	inv := Invoice{ID: "inv-" + o.ID, Order: o.ID, Customer: o.Customer, Currency: o.Currency, Total: o.Total, Issued: paid}
	for _, i := range o.Items {
		inv.Lines = append(inv.Lines, Line{i, i.Quantity * i.UnitPrice})
	}
	return inv
}
