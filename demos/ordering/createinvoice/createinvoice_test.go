package createinvoice

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
)

func TestWrite(t *testing.T) {
	tea, cup := order.Item{SKU: "tea", Quantity: 2, UnitPrice: 450}, order.Item{SKU: "cup", Quantity: 1, UnitPrice: 1200}
	ann, paid := order.Customer{Name: "Ann", Email: "ann@example.com"}, time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	o := order.Order{ID: "order-1", Customer: ann, Items: []order.Item{tea, cup}, Currency: "EUR", Total: 2100}
	require.Equal(t, Invoice{
		ID: "inv-order-1", Order: "order-1", Customer: ann, Currency: "EUR", Total: 2100, Issued: paid,
		Lines: []Line{{tea, 900}, {cup, 1200}},
	}, write(o, paid))
}
