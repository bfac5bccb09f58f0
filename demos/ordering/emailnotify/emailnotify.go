// Package emailnotify mails customers what has become of their orders.
package emailnotify

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/wneessen/go-mail"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// From is who the mails are from.
const From = "shop@example.com"

// Run mails until ctx ends, through client. A mail is sent at least once: if the
// process dies between the mail and its note that it was sent, it is sent again,
// with the same Message-ID, by which mail programs know it for the same.
func Run(ctx context.Context, nc *nats.Conn, store *eventstore.Store, client *mail.Client) error {
	sub, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{
		Durable: "mail-on-change", Types: []string{string(order.Declined), string(order.Invoiced), string(order.Delivered)},
	})
	if err != nil {
		return err
	}
	return sub.Run(ctx, func(ctx context.Context, e eventstore.Event) error {
		o, err := orderstorage.Get(ctx, nc, e.Entity)
		if err != nil {
			return err
		}
		msg, err := message(o, order.Status(e.Type), e.Entity+"."+e.Type+"@orders.example.com")
		if err != nil {
			return fmt.Errorf("%w: %w", eventstore.ErrPoison, err)
		}
		return final(client.DialAndSendWithContext(ctx, msg))
	})
}

// final makes poison of an error that will be the same tomorrow: an address that the
// mail server refuses for good. The mails of all others wait behind this one.
func final(err error) error {
	var failed *mail.SendError
	if errors.As(err, &failed) && failed.Reason == mail.ErrSMTPRcptTo && failed.ErrorCode() >= 500 {
		return fmt.Errorf("%w: %w", eventstore.ErrPoison, err)
	}
	return err
}

// message writes the mail about an order that has entered a status.
func message(o order.Order, is order.Status, id string) (*mail.Msg, error) {
	m := mail.NewMsg()
	if err := m.From(From); err != nil {
		return nil, err
	}
	if err := m.To(o.Customer.Email); err != nil {
		return nil, err
	}
	m.SetMessageIDWithValue(id)
	subject, body := text(o, is)
	m.Subject(subject)
	m.SetBodyString(mail.TypeTextPlain, body)
	return m, nil
}

func text(o order.Order, is order.Status) (subject, body string) {
	switch is {
	case order.Declined:
		return "Your order " + o.ID + " could not be paid", fmt.Sprintf("Dear %s,\n\nyour card was declined. Nothing was charged.\n", o.Customer.Name)
	case order.Delivered:
		return "Your order " + o.ID + " has been delivered", fmt.Sprintf("Dear %s,\n\n%s brought it. Enjoy!\n", o.Customer.Name, o.Driver)
	}
	var lines strings.Builder
	for _, i := range o.Items {
		fmt.Fprintf(&lines, "  %3d x %-12s %s\n", i.Quantity, i.SKU, money(i.Quantity*i.UnitPrice, o.Currency))
	}
	return "Your invoice " + o.Invoice, fmt.Sprintf("Dear %s,\n\nthank you for your order:\n\n%s\n  total %s\n", o.Customer.Name, lines.String(), money(o.Total, o.Currency))
}

func money(minor int64, currency string) string {
	return fmt.Sprintf("%d.%02d %s", minor/100, minor%100, currency)
}
