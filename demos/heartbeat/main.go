// Command heartbeat shows a monitor and three instances of a service. One stops, one
// crashes, and one is reported as lost although it runs.
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
	About: "one instance stops, one crashes, one is reported as lost although it runs",
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
		return mon.Run(ctx, func(c heartbeat.Change) { e.Printf("monitor: %s is %s", c.ID, c.State) })
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
		return nil // it crashed, as the story demands
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
				e.Printf("  roster: %s, version %s, up for %v", m.ID, m.Version, m.LastSeen.Sub(m.Since).Round(100*time.Millisecond))
			}
			return err
		}
		if !e.At(1800 * time.Millisecond) {
			return nil
		}
		e.Tell("Three instances publish a heartbeat each second, with a TTL of two seconds. Any\nprocess can read which instances are up:")
		if err := read(); err != nil || !e.At(2400*time.Millisecond) {
			return err
		}
		e.Tell("orders-1 stops: its goodbye changes its state at once. A second later orders-2\ncrashes. It sends no goodbye, so only its missing heartbeats show it.")
		if !e.At(6800 * time.Millisecond) {
			return nil
		}
		e.Tell("Now orders-3 is disconnected for three seconds. It runs, but no heartbeat arrives:\nLost is a suspicion, and this one is wrong. After the reconnect it is Up again only\nafter two seconds of heartbeats, so that flapping is not reported.")
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
