// Command ordering plays an order system of six services, composed from the
// patterns: real orders by HTTP, events on NATS, mail by SMTP.
//
//	ordering                                   plays three orders to their end
//	ordering serve -http 127.0.0.1:8080        keeps it running, for you to use
package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/demos/ordering/assigndelivery"
	"github.com/natspatterns/catalog/demos/ordering/createinvoice"
	"github.com/natspatterns/catalog/demos/ordering/emailnotify"
	"github.com/natspatterns/catalog/demos/ordering/orderstatus"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/demos/ordering/paymentprocessor"
	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/internal/wire"
	"github.com/natspatterns/catalog/patterns/eventstore"
	"github.com/natspatterns/catalog/patterns/queueing"
)

var play = demo.Play{
	Name:    "ordering",
	About:   "six services take three orders: delivered, declined, and paid for once the payment service is back",
	Lasts:   15 * time.Second,
	Streams: []string{"ORDERS", "KV_cards", "KV_" + createinvoice.Bucket, "JOBS_" + assigndelivery.Queue, "FAILED_" + assigndelivery.Queue},
	Scene:   [2]time.Duration{2 * time.Second, 3 * time.Second},
	Draw:    drawn,
	Door:    "shop",
	Cast:    func(e *demo.Env) error { return (&system{Env: e}).cast() },
}

func main() { play.Main() }

// drawn picks what the diagram shows: what is asked, what has happened, and who
// hears of it; not how each service gets at what it needs for that.
func drawn(a wire.Arrow) bool {
	for _, prefix := range []string{"orders.event.", "orders.place", "orders.record", "jobs."} {
		if strings.HasPrefix(a.Subject, prefix) {
			return true
		}
	}
	return false
}

// system is the six services, two drivers, a bank and a mailbox.
type system struct {
	*demo.Env
	act  func(ctx context.Context, nc *nats.Conn) error // what customers do; the story's if nil
	bank paymentprocessor.TestBank
	box  mailbox
}

func (s *system) cast() error {
	stored := eventstore.Config{Metadata: s.Mark(), Log: s.Log()}
	queue := queueing.Config{Metadata: s.Mark(), Log: s.Log()}
	// service gives a participant its part, with JetStream and the orders' store.
	service := func(name string, from time.Duration, run func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, store *eventstore.Store) error) {
		s.Go(name, func(ctx context.Context, nc *nats.Conn) error {
			if !s.At(from) {
				return nil
			}
			js, err := s.JetStream(nc)
			if err != nil {
				return err
			}
			store, err := eventstore.New(ctx, js, orderstorage.Name, stored)
			if err != nil {
				return err
			}
			return run(ctx, nc, js, store)
		})
	}
	service("order-storage", 0, func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, _ *eventstore.Store) error {
		cards, err := s.bucket(ctx, js, "cards")
		if err != nil {
			return err
		}
		return orderstorage.Run(ctx, nc, js, cards, stored)
	})
	service("payment-processor", 100*time.Millisecond, s.payment)
	service("create-invoice", 200*time.Millisecond, func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, store *eventstore.Store) error {
		kv, err := s.bucket(ctx, js, createinvoice.Bucket)
		if err != nil {
			return err
		}
		return createinvoice.Run(ctx, nc, kv, store)
	})
	service("assign-delivery", 300*time.Millisecond, func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, store *eventstore.Store) error {
		return assigndelivery.Run(ctx, nc, js, store, queue)
	})
	service("email-notify", 400*time.Millisecond, func(ctx context.Context, nc *nats.Conn, _ jetstream.JetStream, store *eventstore.Store) error {
		c, err := client(s.Env)
		if err != nil {
			return err
		}
		return emailnotify.Run(ctx, nc, store, c)
	})
	service("order-status", 500*time.Millisecond, s.status)
	s.Go("mail", func(ctx context.Context, _ *nats.Conn) error {
		l, err := s.Listen("mail")
		if err != nil {
			return err
		}
		return s.box.serve(ctx, l)
	})
	s.driver(service, "max", 600*time.Millisecond, 7*time.Second, queue)
	s.driver(service, "mia", 7100*time.Millisecond, 0, queue)
	if !s.Serving() {
		if s.act == nil {
			s.act = s.customers
		}
		s.Go("customers", s.act)
		return nil
	}
	s.box.tell = func(l letter) { s.Printf("mail to %s: %s", l.To, l.Subject) }
	return nil
}

// bucket finds the bucket called name, or creates it.
func (s *system) bucket(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	kv, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, Metadata: s.Mark()})
	if errors.Is(err, jetstream.ErrBucketExists) {
		kv, err = js.KeyValue(ctx, name)
	}
	return kv, err
}

// payment runs the payment processor. In the play it is away from 6s to 9s.
func (s *system) payment(ctx context.Context, nc *nats.Conn, _ jetstream.JetStream, store *eventstore.Store) error {
	if !s.Serving() {
		first, stop := context.WithDeadline(ctx, s.Start().Add(6*time.Second))
		defer stop()
		if err := paymentprocessor.Run(first, nc, store, &s.bank); err != nil || !s.At(9*time.Second) {
			return err
		}
	}
	return paymentprocessor.Run(ctx, nc, store, &s.bank)
}

// status runs the HTTP API.
func (s *system) status(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, store *eventstore.Store) error {
	l, err := s.Listen("shop")
	if err != nil {
		return err
	}
	newID := func() string { return s.ID("order") }
	if s.Serving() {
		newID = func() string { return "order-" + uuid.Must(uuid.NewV7()).String() }
		s.usage()
	}
	return orderstatus.Run(ctx, nc, js, store, l, orderstatus.Config{Hosts: s.hosts(l.Addr()), NewID: newID, Log: s.Log()})
}

// driver is on duty from one time to another, or to the end if that is zero.
func (s *system) driver(service func(string, time.Duration, func(context.Context, *nats.Conn, jetstream.JetStream, *eventstore.Store) error),
	name string, from, to time.Duration, queue queueing.Config) {
	service("driver-"+name, from, func(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, _ *eventstore.Store) error {
		if to > 0 && !s.Serving() {
			var stop context.CancelFunc
			ctx, stop = context.WithDeadline(ctx, s.Start().Add(to))
			defer stop()
		}
		return assigndelivery.Drive(ctx, nc, js, name, time.Second, queue)
	})
}
