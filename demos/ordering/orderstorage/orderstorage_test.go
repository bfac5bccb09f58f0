package orderstorage_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func placement(card string) order.Placement {
	return order.Placement{
		Customer: order.Customer{Name: "Ann", Email: "ann@example.com"}, Currency: "EUR", Card: card,
		Items: []order.Item{{SKU: "tea", Quantity: 2, UnitPrice: 450}},
	}
}

// slow is a bucket that holds up whoever first creates a key in it, once that is
// done.
type slow struct {
	jetstream.KeyValue
	calls atomic.Int32
	held  chan struct{}
}

func (s *slow) Create(ctx context.Context, key string, value []byte, opts ...jetstream.KVCreateOpt) (uint64, error) {
	rev, err := s.KeyValue.Create(ctx, key, value, opts...)
	if s.calls.Add(1) == 1 {
		<-s.held
	}
	return rev, err
}

// run starts the service and calls f, with the bucket of cards.
func run(t *testing.T, f func(ctx context.Context, t *testing.T, nc *nats.Conn, cards *slow)) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, stop := context.WithCancel(t.Context())
		js := s.JetStream("order-storage")
		kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "cards"})
		require.NoError(t, err)
		cards, ended := &slow{KeyValue: kv, held: make(chan struct{})}, make(chan error, 1)
		go func() { ended <- orderstorage.Run(ctx, js.Conn(), js, cards, eventstore.Config{}) }()
		t.Cleanup(func() {
			stop()
			require.NoError(t, <-ended)
		})
		time.Sleep(time.Second)
		f(ctx, t, s.Connect("t"), cards)
	})
}

func keys(t *testing.T, kv jetstream.KeyValue) (keys []string) {
	t.Helper()
	l, err := kv.ListKeys(t.Context())
	require.NoError(t, err)
	for k := range l.Keys() {
		keys = append(keys, k)
	}
	return keys
}

// The order that is placed is paid with its own card, not with that of another
// which was sent with the same id and came to nothing.
func TestCardOfAnother(t *testing.T) {
	run(t, func(ctx context.Context, t *testing.T, nc *nats.Conn, cards *slow) {
		first := make(chan error, 1)
		go func() {
			_, err := orderstorage.Place(ctx, nc, "order-1", placement("tok_first"))
			first <- err
		}()
		time.Sleep(time.Second)
		_, err := orderstorage.Place(ctx, nc, "order-1", placement("tok_second"))
		require.NoError(t, err)
		close(cards.held)
		var refused *requestreply.Error
		require.ErrorAs(t, <-first, &refused)
		require.Equal(t, orderstorage.Reused, refused.Code)

		card, err := orderstorage.Card(ctx, nc, "order-1")
		require.NoError(t, err)
		require.Equal(t, "tok_second", card)
		require.Len(t, keys(t, cards), 1, "the other card is forgotten")
		require.NoError(t, orderstorage.Record(ctx, nc, order.Fact{Order: "order-1", Status: order.Paid}))
		require.Empty(t, keys(t, cards), "paid, and forgotten")
		_, err = orderstorage.Place(ctx, nc, "order-1", placement("tok_second"))
		require.NoError(t, err, "asked again")
		require.Empty(t, keys(t, cards))
	})
}

func TestRefusals(t *testing.T) {
	run(t, func(ctx context.Context, t *testing.T, nc *nats.Conn, cards *slow) {
		close(cards.held)
		code := func(err error) string {
			var refused *requestreply.Error
			require.ErrorAs(t, err, &refused)
			return refused.Code
		}
		for _, id := range []string{"", "a.b", "*", ">", "a b", "a\x00", strings.Repeat("x", 65)} {
			_, err := orderstorage.Place(ctx, nc, id, placement("tok_visa"))
			require.Equal(t, orderstorage.Invalid, code(err), "place %q", id)
			_, err = orderstorage.Get(ctx, nc, id)
			require.Equal(t, orderstorage.Invalid, code(err), "get %q", id)
			_, err = orderstorage.Card(ctx, nc, id)
			require.Equal(t, orderstorage.Invalid, code(err), "card %q", id)
			require.Equal(t, orderstorage.Invalid, code(orderstorage.Record(ctx, nc, order.Fact{Order: id, Status: order.Paid})), "record %q", id)
		}
		_, err := orderstorage.Place(ctx, nc, "order-1", order.Placement{})
		require.Equal(t, orderstorage.Invalid, code(err))
		require.Empty(t, keys(t, cards))
		require.Equal(t, orderstorage.NotFound, code(orderstorage.Record(ctx, nc, order.Fact{Order: "order-1", Status: order.Paid})))
		_, err = orderstorage.Place(ctx, nc, "order-1", placement("tok_visa"))
		require.NoError(t, err)
		for _, s := range []order.Status{order.Delivered, order.Invoiced, "", "lost"} {
			require.Equal(t, orderstorage.Clash, code(orderstorage.Record(ctx, nc, order.Fact{Order: "order-1", Status: s})), s)
		}
	})
}
