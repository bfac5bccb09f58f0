// Package assigndelivery finds a driver for each order that is invoiced. Drivers
// take orders from a work queue as they have time, and heartbeat while they are on
// duty.
package assigndelivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/natspatterns/catalog/demos/ordering/order"
	"github.com/natspatterns/catalog/demos/ordering/orderstorage"
	"github.com/natspatterns/catalog/patterns/eventstore"
	"github.com/natspatterns/catalog/patterns/heartbeat"
	"github.com/natspatterns/catalog/patterns/queueing"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// Queue is where orders wait for a driver. Its streams are JOBS_deliveries and
// FAILED_deliveries.
const Queue = "deliveries"

// Beats is how drivers tell that they are on duty.
var Beats = heartbeat.Config{Prefix: "drivers", Every: time.Second}

// Run queues deliveries, and watches the drivers, until ctx ends.
func Run(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, store *eventstore.Store, cfg queueing.Config) error {
	if err := queueing.Provision(ctx, js, Queue, cfg); err != nil {
		return err
	}
	mon, err := heartbeat.NewMonitor(ctx, nc, Beats)
	if err != nil {
		return err
	}
	sub, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{Durable: "delivery-on-invoiced", Types: []string{string(order.Invoiced)}})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return mon.Run(ctx, func(heartbeat.Change) {}) }) // it tells the roster to who asks
	group.Go(func() error {
		return sub.Run(ctx, func(ctx context.Context, e eventstore.Event) error {
			// The job's id is the order's: queued again, it is queued once.
			_, err := queueing.Send(ctx, js, Queue, e.Entity, nats.NewMsg(""))
			return err
		})
	})
	return group.Wait()
}

// Drive delivers orders, one after the other, until ctx ends. The trip takes as long
// as it is told to.
func Drive(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, driver string, trip time.Duration, cfg queueing.Config) error {
	w, err := queueing.NewWorker(ctx, js, Queue, cfg)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := heartbeat.Send(ctx, nc, driver, Beats); ctx.Err() == nil {
			return err
		}
		return nil // a goodbye that does not get through is missed, and then the driver is, too
	})
	group.Go(func() error { return w.Run(ctx, deliver(nc, driver, trip)) })
	return group.Wait()
}

func deliver(nc *nats.Conn, driver string, trip time.Duration) queueing.Handler {
	return func(ctx context.Context, job queueing.Message) error {
		id := job.ID
		if err := record(ctx, nc, order.Fact{Order: id, Status: order.Assigned, Driver: driver}); err != nil {
			return err
		}
		select {
		case <-time.After(trip):
		case <-ctx.Done():
			return ctx.Err()
		}
		return record(ctx, nc, order.Fact{Order: id, Status: order.Delivered})
	}
}

// record tells what happened, as soon as someone listens: that the storage is away is
// no fault of the job, and costs it no try. What can never have happened is poison, and
// must not be tried again.
func record(ctx context.Context, nc *nats.Conn, f order.Fact) error {
	for {
		err := orderstorage.Record(ctx, nc, f)
		var refused *requestreply.Error
		switch {
		case errors.As(err, &refused) && (refused.Code == orderstorage.Clash || refused.Code == orderstorage.NotFound):
			return fmt.Errorf("%w: %w", queueing.ErrPoison, err)
		case !errors.Is(err, requestreply.ErrNoResponders) && !errors.Is(err, context.DeadlineExceeded):
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
}
