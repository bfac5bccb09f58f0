// Package order is what all services of the ordering system agree on: what an order
// is, what can happen to it, and in which order.
package order

import (
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Status is how far an order is.
type Status string

const (
	Placed    Status = "placed"
	Paid      Status = "paid"
	Invoiced  Status = "invoiced"
	Assigned  Status = "assigned"
	Delivered Status = "delivered"
	Declined  Status = "declined"
	Cancelled Status = "cancelled"
)

// next lists what may happen after what.
var next = map[Status][]Status{
	"":       {Placed},
	Placed:   {Paid, Declined, Cancelled},
	Paid:     {Invoiced},
	Invoiced: {Assigned},
	Assigned: {Delivered},
}

// Customer is who orders.
type Customer struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Item is a line of an order. Money is in minor units of the order's currency.
type Item struct {
	SKU       string `json:"sku"`
	Quantity  int64  `json:"quantity"`
	UnitPrice int64  `json:"unit_price"`
}

// Placement is what a customer asks for.
type Placement struct {
	Customer Customer `json:"customer"`
	Items    []Item   `json:"items"`
	Currency string   `json:"currency"`
	Card     string   `json:"card,omitempty"` // not in a Fact: those are read by all
}

// Total is the price of it all. Check has seen to it that it fits.
func (p Placement) Total() int64 {
	var sum int64
	for _, i := range p.Items {
		sum += i.Quantity * i.UnitPrice
	}
	return sum
}

// Invalid says which field of a Placement is wrong, and why.
type Invalid struct{ Field, Reason string }

func (i *Invalid) Error() string { return i.Field + " " + i.Reason }

const (
	maxItems    = 100
	maxQuantity = 10_000
	maxPrice    = 10_000_000_000 // so that no total overflows
	maxText     = 200
)

var (
	currency = regexp.MustCompile(`^[A-Z]{3}$`)
	card     = regexp.MustCompile(`^tok_[A-Za-z0-9_]{1,60}$`)
)

const aLine = "must be one line of 1 to %d bytes"

// line reports whether s can stand in a letter without ending its line, and so
// cannot pretend to be another part of it.
func line(s string) bool {
	return len(s) > 0 && len(s) <= maxText && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) })
}

// Check returns an *[Invalid] for the first field that is wrong.
func (p Placement) Check() error {
	bad := func(field, reason string, args ...any) error {
		return &Invalid{field, fmt.Sprintf(reason, args...)}
	}
	if !line(p.Customer.Name) {
		return bad("customer.name", aLine, maxText)
	}
	if a, err := mail.ParseAddress(p.Customer.Email); err != nil || a.Address != p.Customer.Email || len(p.Customer.Email) > maxText {
		return bad("customer.email", "is no address such as ann@example.com")
	}
	if n := len(p.Items); n == 0 || n > maxItems {
		return bad("items", "has %d lines; it must have from 1 to %d", n, maxItems)
	}
	for i, item := range p.Items {
		field := func(name string) string { return fmt.Sprintf("items[%d].%s", i, name) }
		if !line(item.SKU) {
			return bad(field("sku"), aLine, maxText)
		}
		if item.Quantity < 1 || item.Quantity > maxQuantity {
			return bad(field("quantity"), "is %d; it must be from 1 to %d", item.Quantity, maxQuantity)
		}
		if item.UnitPrice < 0 || item.UnitPrice > maxPrice {
			return bad(field("unit_price"), "is %d; it must be from 0 to %d, in minor units", item.UnitPrice, int64(maxPrice))
		}
	}
	if !currency.MatchString(p.Currency) {
		return bad("currency", "must be three capital letters, such as EUR")
	}
	if !card.MatchString(p.Card) {
		return bad("card", "must be a token, such as tok_visa")
	}
	return nil
}

// Fact is the payload of an event: something that has happened to an order.
type Fact struct {
	Order     string     `json:"order"`
	Status    Status     `json:"status"`
	Placement *Placement `json:"placement,omitempty"` // of placed
	Invoice   string     `json:"invoice,omitempty"`   // of invoiced
	Driver    string     `json:"driver,omitempty"`    // of assigned
	Reason    string     `json:"reason,omitempty"`    // of declined and cancelled
}

// Step is a part of an order's history.
type Step struct {
	Status Status    `json:"status"`
	At     time.Time `json:"at"`
}

// Order is what has become of a Placement. It does not tell the card.
type Order struct {
	ID       string   `json:"id"`
	Status   Status   `json:"status"`
	Customer Customer `json:"customer"`
	Items    []Item   `json:"items"`
	Currency string   `json:"currency"`
	Total    int64    `json:"total"`
	Invoice  string   `json:"invoice,omitempty"`
	Driver   string   `json:"driver,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	History  []Step   `json:"history"`
}

// After returns the order as it is once f has happened.
func (o Order) After(f Fact, at time.Time) Order {
	o.ID, o.Status = f.Order, f.Status
	if p := f.Placement; p != nil {
		o.Customer, o.Items, o.Currency, o.Total = p.Customer, p.Items, p.Currency, p.Total()
	}
	if f.Invoice != "" {
		o.Invoice = f.Invoice
	}
	if f.Driver != "" {
		o.Driver = f.Driver
	}
	if f.Reason != "" {
		o.Reason = f.Reason
	}
	o.History = append(slices.Clip(o.History), Step{f.Status, at})
	return o
}

// Has reports whether the order was ever in a status.
func (o Order) Has(s Status) bool {
	return slices.ContainsFunc(o.History, func(h Step) bool { return h.Status == s })
}

// May reports whether an order may enter a status now.
func (o Order) May(s Status) bool { return slices.Contains(next[o.Status], s) }
