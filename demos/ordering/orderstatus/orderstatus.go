// Package orderstatus is the face of the ordering system: it takes orders by HTTP,
// tells how far they are, and tells it as it happens.
package orderstatus

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/natspatterns/catalog/patterns/eventstore"
	"github.com/natspatterns/catalog/patterns/sse"
)

// Config is what the service needs to know.
type Config struct {
	Hosts []string      // names by which clients call it, without port
	NewID func() string // names an order that comes without an Idempotency-Key
	Log   *slog.Logger
}

type service struct {
	cfg   Config
	nc    *nats.Conn
	model *model
	from  uint64 // what had happened when it started
}

// Run serves the API on l until ctx ends. It closes l.
func Run(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, store *eventstore.Store, l net.Listener, cfg Config) error {
	stream, err := js.Stream(ctx, "ORDERS")
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s := &service{cfg: cfg, nc: nc, model: newModel()}
	last, err := stream.GetLastMsgForSubject(ctx, "orders.event.>")
	switch {
	case err == nil:
		s.from = last.Sequence
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return errors.Join(err, l.Close())
	}
	events, err := sse.NewServer(ctx, js, "ORDERS", "orders.event.>", route, sse.Config{Hosts: cfg.Hosts, FromStart: true, Log: cfg.Log})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	sub, err := eventstore.NewSubscription(ctx, store, eventstore.SubscriptionConfig{}) // last: it is to be run
	if err != nil {
		return errors.Join(err, l.Close())
	}
	srv := &http.Server{Handler: s.handler(events), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn)}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return sub.Run(ctx, s.model.take) })
	group.Go(func() error { return events.Run(ctx) }) // disconnects its clients when ctx ends
	group.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return srv.Shutdown(grace)
	})
	return group.Wait()
}

// route returns the subject of a client of GET /orders/{id}/events.
func route(r *http.Request) (string, error) {
	id := r.PathValue("id")
	return "orders.event." + id + ".>", checkID(id)
}
