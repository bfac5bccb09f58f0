// Command heartbeat shows a monitor and three instances of a service. One leaves
// politely, one crashes and is missed, and one is called lost though it is well.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/heartbeat"
)

var play = demo.Play{
	Name:  "heartbeat",
	About: "one instance leaves, one crashes and is missed, one is called lost though it is well",
	Lasts: 14 * time.Second,
	Scene: [2]time.Duration{0, 5 * time.Second},
	Cast:  cast,
}

func main() { play.Main() }

func cast(e *demo.Env) error {
	cfg := heartbeat.Config{Every: time.Second, TTL: 2 * time.Second, Steady: 2 * time.Second}
	e.Go("monitor", func(ctx context.Context, nc *nats.Conn) error {
		mon, err := heartbeat.NewMonitor(ctx, nc, cfg)
		if err != nil {
			return err
		}
		return mon.Run(ctx, func(c heartbeat.Change) { e.Printf("the monitor says: %s is %s", c.ID, c.State) })
	})
	e.Go("orders-1", func(ctx context.Context, nc *nats.Conn) error {
		e.At(100 * time.Millisecond)
		cfg := cfg
		cfg.Version = "1.0"
		ctx, leave := context.WithDeadline(ctx, e.Start().Add(2500*time.Millisecond))
		defer leave()
		return heartbeat.Send(ctx, nc, "orders-1", cfg)
	})
	e.Go("orders-2", func(ctx context.Context, nc *nats.Conn) error {
		e.At(200 * time.Millisecond)
		cfg := cfg
		cfg.Version = "1.1"
		time.AfterFunc(3100*time.Millisecond, nc.Close)
		if err := heartbeat.Send(ctx, nc, "orders-2", cfg); !errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		return nil // it crashed, as the story wants
	})
	e.Go("orders-3", func(ctx context.Context, nc *nats.Conn) error {
		e.At(300 * time.Millisecond)
		cfg := cfg
		cfg.Version = "1.1"
		return heartbeat.Send(ctx, nc, "orders-3", cfg)
	})
	e.Go("operator", func(ctx context.Context, nc *nats.Conn) error {
		read := func() error {
			members, err := heartbeat.Read(ctx, nc, cfg)
			for _, m := range members {
				e.Printf("  on the roster: %s, version %s, for %v", m.ID, m.Version, m.Heard.Sub(m.Since).Round(100*time.Millisecond))
			}
			return err
		}
		if !e.At(1800 * time.Millisecond) {
			return nil
		}
		e.Tell("Three instances beat once a second; each promises the next beat within two.\nAny process can ask who is there:")
		if err := read(); err != nil || !e.At(2400*time.Millisecond) {
			return err
		}
		e.Tell("orders-1 is stopped in good order: it says goodbye, and that is news at once.\nA second later orders-2 crashes. It says nothing; its silence has to speak.")
		if !e.At(6800 * time.Millisecond) {
			return nil
		}
		e.Tell("Now the wire of orders-3 is cut for three seconds. It is well, but nobody\nhears it: Lost is a suspicion, and this one is wrong. Back again, it has to\nbe heard for two seconds before it counts as up, so that flapping is no news.")
		e.Line("orders-3").Down()
		if !e.At(9800 * time.Millisecond) {
			return nil
		}
		e.Line("orders-3").Up()
		if !e.At(13500 * time.Millisecond) {
			return nil
		}
		return read()
	})
	return nil
}
