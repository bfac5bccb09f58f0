// Command controlplane shows two controllers, of which one at a time may say what
// three instances do, and what becomes of the one who was away, the one who
// refuses, and the controller who slept through the end of its lease.
package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/controlplane"
)

var play = demo.Play{
	Name:    "controlplane",
	About:   "two controllers, one lease, three instances: who was away converges, who slept is refused",
	Lasts:   20 * time.Second,
	Streams: []string{"KV_control"},
	Scene:   [2]time.Duration{800 * time.Millisecond, 3 * time.Second},
	Cast:    cast,
}

func main() { play.Main() }

func cast(e *demo.Env) error {
	cfg := controlplane.Config{Lease: 3 * time.Second, Metadata: e.Mark()}
	for _, i := range []struct {
		name string
		from time.Duration
		slow time.Duration
		most float64
	}{{"web-1", 100 * time.Millisecond, 0, 100}, {"web-2", 200 * time.Millisecond, 100 * time.Millisecond, 20}, {"web-3", 4 * time.Second, 200 * time.Millisecond, 100}} {
		e.Go(i.name, func(ctx context.Context, nc *nats.Conn) error {
			if !e.At(i.from) {
				return nil
			}
			return instance(ctx, e, nc, cfg, i.name, i.slow, i.most)
		})
	}
	e.Go("ann", func(ctx context.Context, nc *nats.Conn) error {
		return controller(ctx, e, nc, cfg, "ann", 500*time.Millisecond, ann)
	})
	e.Go("bob", func(ctx context.Context, nc *nats.Conn) error {
		return controller(ctx, e, nc, cfg, "bob", 3100*time.Millisecond, bob)
	})
	e.Go("operator", func(ctx context.Context, nc *nats.Conn) error { return operator(ctx, e, nc, cfg) })
	return nil
}

func instance(ctx context.Context, e *demo.Env, nc *nats.Conn, cfg controlplane.Config, name string, slow time.Duration, most float64) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	a, err := controlplane.NewAgent(ctx, js, "web", name, cfg)
	if err != nil {
		return err
	}
	return a.Run(ctx, controlplane.Handlers{
		Apply: func(_ context.Context, d controlplane.Desired) error {
			time.Sleep(slow)
			if d.Rate > most {
				e.Printf("%s will not: %v a second is too much", name, d.Rate)
				return fmt.Errorf("%w: at most %v a second", controlplane.ErrRefused, most)
			}
			e.Printf("%s is %s, %v a second", name, d.State, d.Rate)
			return nil
		},
		Do: func(context.Context, controlplane.Command) (string, error) { return "cache emptied", nil },
	})
}

type part = func(ctx context.Context, e *demo.Env, t *controlplane.Term) error

func controller(ctx context.Context, e *demo.Env, nc *nats.Conn, cfg controlplane.Config, name string, from time.Duration, lead part) error {
	if !e.At(from) {
		return nil
	}
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	c, err := controlplane.NewController(ctx, js, name, cfg)
	if err != nil {
		return err
	}
	return c.Run(ctx, func(ctx context.Context, t *controlplane.Term) error {
		e.Printf("%s is the active controller", name)
		err := lead(ctx, e, t)
		<-ctx.Done()
		return err
	})
}

func ann(ctx context.Context, e *demo.Env, t *controlplane.Term) error {
	set := func(at time.Duration, instance string, d controlplane.Desired) error {
		if !e.At(at) {
			return nil
		}
		_, err := t.Set(context.WithoutCancel(ctx), "web", instance, d)
		if errors.Is(err, controlplane.ErrFenced) {
			e.Printf("ann is refused: her term is over")
			return nil
		}
		return err
	}
	e.At(900 * time.Millisecond)
	e.Tell("Ann says what all of web should do. What she wants is kept, and each instance\nreports what it does.")
	err := set(time.Second, "", controlplane.Desired{State: controlplane.Running, Rate: 10})
	if err != nil || !e.At(1900*time.Millisecond) {
		return err
	}
	e.Tell("Then she wants 50 a second of web-2 alone, which is more than it can do.")
	if err := set(2*time.Second, "web-2", controlplane.Desired{State: controlplane.Running, Rate: 50}); err != nil || !e.At(3900*time.Millisecond) {
		return err
	}
	e.Tell("web-3 comes late. It finds what is wanted, and does it.")
	if !e.At(6900 * time.Millisecond) {
		return nil
	}
	e.Tell("Now Ann's process sleeps for seven seconds, lease in hand. She does not know it;\nher lease runs out, and Bob takes over.")
	e.Line("ann").Down()
	if !e.At(14 * time.Second) {
		return nil
	}
	e.Line("ann").Up()
	e.At(14400 * time.Millisecond)
	e.Tell("Ann wakes, sure that she is the active controller, and writes what she was about\nto. The server compares the lease, and refuses.")
	return set(14500*time.Millisecond, "", controlplane.Desired{State: controlplane.Stopped})
}

func bob(ctx context.Context, e *demo.Env, t *controlplane.Term) error {
	e.At(12900 * time.Millisecond)
	_, err := t.Set(ctx, "web", "", controlplane.Desired{State: controlplane.Paused, Rate: 10})
	return err
}

func operator(ctx context.Context, e *demo.Env, nc *nats.Conn, cfg controlplane.Config) error {
	if !e.At(15900 * time.Millisecond) {
		return nil
	}
	e.Tell("An operator empties all caches, with a command: for who is there, once, now.")
	answers, err := controlplane.Tell(ctx, nc, controlplane.Target{Service: "web"}, controlplane.Command{ID: e.ID("command"), Name: "empty-cache"}, 0, cfg)
	if err != nil {
		return err
	}
	e.Printf("%d instances say: %s", len(answers), answers[0].Text)
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	reports, err := controlplane.Reports(ctx, js, "web", cfg)
	for _, r := range reports {
		line := fmt.Sprintf("%s reports: %s, %v a second", r.Instance, r.State, r.Rate)
		if r.Problem != "" {
			line += ", and " + strings.TrimPrefix(r.Problem, "controlplane: ")
		}
		e.Printf("%s", line)
	}
	return err
}
