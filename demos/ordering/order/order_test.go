package order_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
)

var good = order.Placement{
	Customer: order.Customer{Name: "Ann", Email: "ann@example.com"},
	Items:    []order.Item{{SKU: "tea", Quantity: 2, UnitPrice: 450}, {SKU: "cup", Quantity: 1, UnitPrice: 1200}},
	Currency: "EUR", Card: "tok_visa",
}

func TestCheck(t *testing.T) {
	require.NoError(t, good.Check())
	require.EqualValues(t, 2100, good.Total())
	for field, spoil := range map[string]func(p *order.Placement){
		"customer.name":       func(p *order.Placement) { p.Customer.Name = "" },
		"customer.name ":      func(p *order.Placement) { p.Customer.Name = "Ann\u2028You owe us money" },
		"items[0].sku":        func(p *order.Placement) { p.Items[0].SKU = "tea\n  1 x gold" },
		"customer.email":      func(p *order.Placement) { p.Customer.Email = "Ann <ann@example.com>\r\nBcc: all@example.com" },
		"items":               func(p *order.Placement) { p.Items = nil },
		"items[1].sku":        func(p *order.Placement) { p.Items[1].SKU = "" },
		"items[0].quantity":   func(p *order.Placement) { p.Items[0].Quantity = 0 },
		"items[1].quantity":   func(p *order.Placement) { p.Items[1].Quantity = 10_001 },
		"items[0].unit_price": func(p *order.Placement) { p.Items[0].UnitPrice = -1 },
		"items[1].unit_price": func(p *order.Placement) { p.Items[1].UnitPrice = 1 << 62 },
		"currency":            func(p *order.Placement) { p.Currency = "euro" },
		"card":                func(p *order.Placement) { p.Card = "4111111111111111" },
	} {
		p := good
		p.Items = append([]order.Item(nil), good.Items...)
		spoil(&p)
		var invalid *order.Invalid
		require.ErrorAs(t, p.Check(), &invalid, field)
		require.Equal(t, strings.TrimSpace(field), invalid.Field)
	}
}

func TestAfter(t *testing.T) {
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	var o order.Order
	for _, f := range []order.Fact{
		{Order: "o-1", Status: order.Placed, Placement: &good},
		{Order: "o-1", Status: order.Paid},
		{Order: "o-1", Status: order.Invoiced, Invoice: "inv-o-1"},
		{Order: "o-1", Status: order.Assigned, Driver: "max"},
		{Order: "o-1", Status: order.Delivered},
	} {
		require.True(t, o.May(f.Status), f.Status)
		require.False(t, o.Has(f.Status))
		o = o.After(f, at)
		require.True(t, o.Has(f.Status))
		require.False(t, o.May(f.Status), "nothing happens twice")
	}
	require.Equal(t, order.Order{
		ID: "o-1", Status: order.Delivered, Customer: good.Customer, Items: good.Items, Currency: "EUR", Total: 2100,
		Invoice: "inv-o-1", Driver: "max",
		History: []order.Step{{order.Placed, at}, {order.Paid, at}, {order.Invoiced, at}, {order.Assigned, at}, {order.Delivered, at}},
	}, o)
	require.False(t, o.May(order.Cancelled))
	require.False(t, order.Order{}.May(order.Paid))
}
