// Package orderstorage owns the orders: it alone decides what may happen to one,
// and keeps what has. The others ask it, and hear of what happened by its feed.
package orderstorage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/patterns/eventstore"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// Name is what the event store is called. Its stream is ORDERS.
const Name = "orders"

// Codes of refusals, beside those of requestreply.
const (
	NotFound = "404"
	Clash    = "409" // the order cannot go there from where it is
	Reused   = "422" // the id has been used for another order
	Invalid  = "400"
)

type place struct {
	ID        string          `json:"id"`
	Placement order.Placement `json:"placement"`
}

type get struct {
	ID string `json:"id"`
}

// Place asks for a new order. With the id and the placement of one that exists, it
// returns that one; so a caller that is unsure may ask again.
func Place(ctx context.Context, nc *nats.Conn, id string, p order.Placement) (order.Order, error) {
	return requestreply.Request[place, order.Order](ctx, nc, "orders.place", place{id, p})
}

// Record tells that something has happened to an order. It is recorded once,
// however often it is told.
func Record(ctx context.Context, nc *nats.Conn, f order.Fact) error {
	_, err := requestreply.Request[order.Fact, order.Order](ctx, nc, "orders.record", f)
	return err
}

// Get returns an order as it is now.
func Get(ctx context.Context, nc *nats.Conn, id string) (order.Order, error) {
	return requestreply.Request[get, order.Order](ctx, nc, "orders.get", get{id})
}

// Card returns the card that an order is to be paid with, until it is decided
// whether it was.
func Card(ctx context.Context, nc *nats.Conn, id string) (string, error) {
	return requestreply.Request[get, string](ctx, nc, "orders.card", get{id})
}

// Run answers until ctx ends. Cards are kept apart from the events, which everyone
// may read and which stay: in a bucket, as long as they are needed.
func Run(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, cards jetstream.KeyValue, cfg eventstore.Config) error {
	store, err := eventstore.New(ctx, js, Name, cfg)
	if err != nil {
		return err
	}
	s := &service{store, cards}
	r, err := requestreply.NewResponder(ctx, nc, "order-storage", requestreply.Config{Version: "1.0.0", Description: "keeps the orders", Log: cfg.Log},
		requestreply.Handle("orders.place", s.place),
		requestreply.Handle("orders.record", s.record),
		requestreply.Handle("orders.get", s.get),
		requestreply.Handle("orders.card", s.card))
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

type service struct {
	store *eventstore.Store
	cards jetstream.KeyValue
}

func (s *service) place(ctx context.Context, req place) (order.Order, error) {
	if err := req.Placement.Check(); err != nil {
		return order.Order{}, &requestreply.Error{Code: Invalid, Text: err.Error()}
	}
	if err := checkID(req.ID); err != nil {
		return order.Order{}, err
	}
	id := digest(req.Placement)
	card := req.Placement.Card
	req.Placement.Card = ""
	// The card comes first, so that no order is placed without one.
	if _, err := s.cards.Create(ctx, cardKey(req.ID, id), []byte(card)); err != nil && !errors.Is(err, jetstream.ErrKeyExists) {
		return order.Order{}, err
	}
	o, err := s.append(ctx, order.Order{}, eventstore.Version{}, order.Fact{Order: req.ID, Status: order.Placed, Placement: &req.Placement}, id)
	if err == nil && o.Status != order.Placed {
		err = s.cards.Purge(ctx, cardKey(req.ID, id)) // it was placed long ago
	}
	var conflict *eventstore.Conflict
	if !errors.As(err, &conflict) {
		return o, err
	}
	if err := s.cards.Purge(ctx, cardKey(req.ID, id)); err != nil {
		return o, err
	}
	return o, &requestreply.Error{Code: Reused, Text: "the order " + req.ID + " was placed with another content"}
}

// digest names the event of a placement by its content, so that the same one is
// known again and another is not taken for it.
func digest(p order.Placement) string {
	data, err := json.Marshal(p)
	if err != nil {
		panic(err) // a Placement is text and numbers
	}
	sum := sha256.Sum256(data)
	return "placed-" + hex.EncodeToString(sum[:16])
}

func (s *service) record(ctx context.Context, f order.Fact) (order.Order, error) {
	for {
		o, at, err := s.load(ctx, f.Order)
		switch {
		case err != nil:
			return o, err
		case o.Has(f.Status):
			return o, s.settled(ctx, f) // told again
		case !o.May(f.Status) || f.Placement != nil:
			return o, &requestreply.Error{Code: Clash, Text: "an order that is " + string(o.Status) + " cannot be " + string(f.Status)}
		}
		o, err = s.append(ctx, o, at, f, string(f.Status))
		if err == nil {
			return o, s.settled(ctx, f)
		}
		var conflict *eventstore.Conflict
		if !errors.As(err, &conflict) {
			return o, err
		}
		// something else happened meanwhile: decide anew
	}
}

func (s *service) append(ctx context.Context, o order.Order, at eventstore.Version, f order.Fact, id string) (order.Order, error) {
	e, err := eventstore.NewEvent(id, string(f.Status), f)
	if err != nil {
		return o, err
	}
	if _, err := s.store.Append(ctx, f.Order, at, e); err != nil {
		return o, err
	}
	o, _, err = s.load(ctx, f.Order) // with the time at which it was stored
	return o, err
}

func (s *service) get(ctx context.Context, req get) (order.Order, error) {
	o, _, err := s.load(ctx, req.ID)
	return o, err
}

func (s *service) load(ctx context.Context, id string) (o order.Order, at eventstore.Version, err error) {
	if err := checkID(id); err != nil {
		return o, at, err
	}
	for e, err := range s.store.Load(ctx, id, eventstore.Version{}) {
		if err != nil {
			return o, at, err
		}
		if o, err = Fold(o, e); err != nil {
			return o, at, err
		}
		at = e.Version
	}
	if o.ID == "" {
		return o, at, &requestreply.Error{Code: NotFound, Text: "there is no order " + id}
	}
	return o, at, nil
}

var idForm = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// checkID refuses what cannot be part of a subject, or of a key.
func checkID(id string) error {
	if !idForm.MatchString(id) {
		return &requestreply.Error{Code: Invalid, Text: fmt.Sprintf("the id %.80q is none; use 1 to 64 of A-Z a-z 0-9 _ -", id)}
	}
	return nil
}

// Fold returns the order as it is after an event of its feed.
func Fold(o order.Order, e eventstore.Event) (order.Order, error) {
	var f order.Fact
	if err := e.Decode(&f); err != nil {
		return o, err
	}
	return o.After(f, e.Time), nil
}
