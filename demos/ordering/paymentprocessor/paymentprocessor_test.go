package paymentprocessor

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
)

func TestDecide(t *testing.T) {
	o := order.Order{ID: "order-1", Status: order.Placed}
	require.Equal(t, order.Fact{Order: "order-1", Status: order.Paid}, decide(o, true))
	require.Equal(t, order.Fact{Order: "order-1", Status: order.Declined, Reason: "the card was declined"}, decide(o, false))
}

// A key is charged once, and answered as it was the first time.
func TestBankAsksOnce(t *testing.T) {
	var bank TestBank
	for range 3 {
		approved, err := bank.Charge(t.Context(), "order-1", "tok_visa", 900, "EUR")
		require.NoError(t, err)
		require.True(t, approved)
		approved, err = bank.Charge(t.Context(), "order-2", "tok_declined", 500, "EUR")
		require.NoError(t, err)
		require.False(t, approved)
	}
	approved, err := bank.Charge(t.Context(), "order-2", "tok_visa", 500, "EUR")
	require.NoError(t, err)
	require.False(t, approved, "as before")
	require.EqualValues(t, 900, bank.Charged())
}
