// Command heartbeat shows a monitor and two instances of a service. One leaves
// politely; the other loses its connection and is missed.
package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/heartbeat"
)

var play = demo.Play{
	Name:  "heartbeat",
	About: "a monitor and two instances: one leaves politely, the other is cut off and missed",
	Lasts: 8 * time.Second,
	Cast:  cast,
}

func main() { play.Main() }

func cast(e *demo.Env) error {
	e.Go("monitor", func(ctx context.Context, nc *nats.Conn) error {
		mon, err := heartbeat.NewMonitor(ctx, nc, heartbeat.Config{})
		if err != nil {
			return err
		}
		return mon.Run(ctx, func(c heartbeat.Change) { e.Printf("%s is %s", c.ID, c.State) })
	})
	e.Go("polite", func(ctx context.Context, nc *nats.Conn) error {
		e.At(100 * time.Millisecond)
		ctx, leave := context.WithTimeout(ctx, 3500*time.Millisecond)
		defer leave()
		return heartbeat.Send(ctx, nc, "orders-1", heartbeat.Config{})
	})
	e.Go("unlucky", func(ctx context.Context, nc *nats.Conn) error {
		e.At(200 * time.Millisecond)
		time.AfterFunc(1500*time.Millisecond, e.Line("unlucky").Down)
		return heartbeat.Send(ctx, nc, "orders-2", heartbeat.Config{})
	})
	return nil
}
