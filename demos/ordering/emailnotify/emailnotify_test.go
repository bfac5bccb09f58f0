package emailnotify

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

var sold = order.Order{
	ID: "order-1", Customer: order.Customer{Name: "Ann", Email: "ann@example.com"}, Currency: "EUR", Total: 2105, Invoice: "inv-order-1", Driver: "max",
	Items: []order.Item{{SKU: "tea", Quantity: 2, UnitPrice: 450}, {SKU: "cup", Quantity: 1, UnitPrice: 1205}},
}

func TestText(t *testing.T) {
	for is, want := range map[order.Status][2]string{
		order.Declined:  {"Your order order-1 could not be paid", "Dear Ann,\n\nyour card was declined. Nothing was charged.\n"},
		order.Delivered: {"Your order order-1 has been delivered", "Dear Ann,\n\nmax brought it. Enjoy!\n"},
		order.Invoiced: {"Your invoice inv-order-1", "Dear Ann,\n\nthank you for your order:\n\n" +
			"    2 x tea          9.00 EUR\n    1 x cup          12.05 EUR\n\n  total 21.05 EUR\n"},
	} {
		subject, body := text(sold, is)
		require.Equal(t, want, [2]string{subject, body})
	}
}

func TestMessage(t *testing.T) {
	m, err := message(sold, order.Delivered, "order-1.delivered@orders.example.com")
	require.NoError(t, err)
	var wire bytes.Buffer
	_, err = m.WriteTo(&wire)
	require.NoError(t, err)
	require.Contains(t, wire.String(), "To: <ann@example.com>\r\n")
	require.Contains(t, wire.String(), "Message-ID: <order-1.delivered@orders.example.com>\r\n")

	evil := sold
	evil.Customer.Email = "ann@example.com>\r\nBcc: <all@example.com"
	_, err = message(evil, order.Delivered, "x@orders.example.com")
	require.Error(t, err, "an address cannot become another header")
}

func TestFinal(t *testing.T) {
	require.NoError(t, final(nil))
	cut := errors.New("connection reset")
	require.Equal(t, cut, final(cut), "what may pass is tried again")
	require.NotErrorIs(t, final(cut), eventstore.ErrPoison)
}
