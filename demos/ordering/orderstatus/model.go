package orderstatus

import (
	"context"
	"sync"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// model is what this service knows of the orders: a projection of their feed, built
// anew at each start, a moment behind it.
type model struct {
	mu     sync.Mutex // guards what follows
	orders map[string]order.Order
	placed []string       // ids, in the order in which they were placed
	index  map[string]int // of an id in placed
	seen   uint64         // position in the feed
}

func newModel() *model {
	return &model{orders: map[string]order.Order{}, index: map[string]int{}}
}

// take folds an event of the feed.
func (m *model) take(_ context.Context, e eventstore.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, err := orderstorage.Fold(m.orders[e.Entity], e)
	if err != nil {
		return err
	}
	if _, known := m.orders[e.Entity]; !known {
		m.index[e.Entity] = len(m.placed)
		m.placed = append(m.placed, e.Entity)
	}
	m.orders[e.Entity], m.seen = o, e.Version.Seq
	return nil
}

func (m *model) get(id string) (order.Order, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o, ok := m.orders[id]
	return o, ok
}

// list returns up to limit orders placed after the order called after, or from the
// first on if that is empty, and whether there are more. It reports false if there
// is no such order.
func (m *model) list(after string, limit int) (page []order.Order, more, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := 0
	if after != "" {
		i, known := m.index[after]
		if !known {
			return nil, false, false
		}
		from = i + 1
	}
	page = []order.Order{}
	for _, id := range m.placed[from:min(from+limit, len(m.placed))] {
		page = append(page, m.orders[id])
	}
	return page, from+limit < len(m.placed), true
}

// reached reports whether the model has seen the feed up to seq.
func (m *model) reached(seq uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.seen >= seq
}
