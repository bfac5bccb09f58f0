package orderstorage

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/patterns/eventstore"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// cardKey is where the card is kept that came with a placement. It names the
// placement, too: of two that are sent with one id, the one that is placed must not
// be paid with the other's card.
func cardKey(id, placement string) string { return id + "." + placement }

// keyOf finds the key of the card that an order was placed with.
func (s *service) keyOf(ctx context.Context, id string) (string, error) {
	if err := checkID(id); err != nil {
		return "", err
	}
	for e, err := range s.store.Load(ctx, id, eventstore.Version{}) {
		return cardKey(id, e.ID), err // the first event
	}
	return "", noCard(id)
}

func noCard(id string) error {
	return &requestreply.Error{Code: NotFound, Text: "there is no card for order " + id}
}

func (s *service) card(ctx context.Context, req get) (string, error) {
	key, err := s.keyOf(ctx, req.ID)
	if err != nil {
		return "", err
	}
	e, err := s.cards.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return "", noCard(req.ID)
	}
	if err != nil {
		return "", err
	}
	return string(e.Value()), nil
}

// settled forgets the card once it is decided whether the order is paid.
func (s *service) settled(ctx context.Context, f order.Fact) error {
	switch f.Status {
	case order.Paid, order.Declined, order.Cancelled:
		key, err := s.keyOf(ctx, f.Order)
		if err != nil {
			return err
		}
		return s.cards.Purge(ctx, key)
	}
	return nil
}
