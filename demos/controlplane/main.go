// Command controlplane shows two controllers, of which one at a time sets the desired
// state of three instances: an instance that starts late, one that refuses, a controller
// that is paused past the end of its lease, and a command to all instances.
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
	"github.com/natspatterns/catalog/patterns/lease"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

var play = demo.Play{
	Name:    "controlplane",
	About:   "two controllers, one lease, three instances: a late instance catches up, a paused controller is refused",
	Lasts:   20 * time.Second,
	Streams: []string{"KV_control"},
	Scene:   [2]time.Duration{800 * time.Millisecond, 3 * time.Second},
	Cast:    cast,
}

func main() { play.Main() }

func cast(e *demo.Env) error {
	cfg := controlplane.Config{Metadata: e.Mark()}
	for _, i := range []struct {
		name string
		from time.Duration
		slow time.Duration
		most float64
	}{
		{"web-1", 100 * time.Millisecond, 0, 100},
		{"web-2", 200 * time.Millisecond, 100 * time.Millisecond, 20},
		{"web-3", 4 * time.Second, 200 * time.Millisecond, 100},
	} {
		e.Go(i.name, func(ctx context.Context, nc *nats.Conn) error {
			if !e.At(i.from) {
				return nil
			}
			return instance(ctx, e, nc, cfg, i.name, i.slow, i.most)
		})
	}
	e.Go("ann", func(ctx context.Context, nc *nats.Conn) error {
		return controller(ctx, e, nc, "ann", 500*time.Millisecond, ann)
	})
	e.Go("bob", func(ctx context.Context, nc *nats.Conn) error {
		return controller(ctx, e, nc, "bob", 3100*time.Millisecond, bob)
	})
	e.Go("operator", func(ctx context.Context, nc *nats.Conn) error { return operator(ctx, e, nc, cfg) })
	return nil
}

// A command is a request to every instance. Its reply says that it is done.
type (
	emptyCache struct{}
	done       struct {
		Text string `json:"text"`
	}
)

func instance(ctx context.Context, e *demo.Env, nc *nats.Conn, cfg controlplane.Config, name string, slow time.Duration, most float64) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	a, err := controlplane.NewAgent(ctx, js, "web", name, cfg)
	if err != nil {
		return err
	}
	r, err := requestreply.NewResponder(ctx, nc, "web", requestreply.Config{},
		requestreply.Handle("web.empty-cache", func(context.Context, emptyCache) (done, error) { return done{"cache emptied"}, nil }).Each())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	err = a.Run(ctx, func(_ context.Context, d controlplane.Desired) error {
		time.Sleep(slow)
		if d.Rate > most {
			e.Printf("%s refuses: %v a second is too much", name, d.Rate)
			return fmt.Errorf("%w: at most %v a second", controlplane.ErrRefused, most)
		}
		e.Printf("%s is %s, %v a second", name, d.State, d.Rate)
		return nil
	})
	stop()
	return errors.Join(err, <-ended)
}

type part = func(ctx context.Context, e *demo.Env, t *lease.Term) error

func controller(ctx context.Context, e *demo.Env, nc *nats.Conn, name string, from time.Duration, lead part) error {
	if !e.At(from) {
		return nil
	}
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	c, err := lease.NewCandidate(ctx, js, "lease", name, lease.Config{Bucket: "control", TTL: 3 * time.Second, Metadata: e.Mark()})
	if err != nil {
		return err
	}
	return c.Run(ctx, func(ctx context.Context, t *lease.Term) error {
		e.Printf("%s is the leader", name)
		err := lead(ctx, e, t)
		<-ctx.Done()
		return err
	})
}

func ann(ctx context.Context, e *demo.Env, t *lease.Term) error {
	set := func(at time.Duration, instance string, d controlplane.Desired) error {
		if !e.At(at) {
			return nil
		}
		_, err := controlplane.Set(context.WithoutCancel(ctx), t, "web", instance, d, controlplane.Config{})
		if errors.Is(err, lease.ErrFenced) {
			e.Printf("ann is refused: her term has ended")
			return nil
		}
		return err
	}
	e.At(900 * time.Millisecond)
	e.Tell("Ann sets the desired state of all instances of web. It is stored, and each instance\nreports its actual state.")
	err := set(time.Second, "", controlplane.Desired{State: controlplane.Running, Rate: 10})
	if err != nil || !e.At(1900*time.Millisecond) {
		return err
	}
	e.Tell("Then she sets 50 a second for web-2 alone, which is more than it can do.")
	err = set(2*time.Second, "web-2", controlplane.Desired{State: controlplane.Running, Rate: 50})
	if err != nil || !e.At(3900*time.Millisecond) {
		return err
	}
	e.Tell("web-3 starts late. It reads the stored desired state, and reaches it.")
	if !e.At(6900 * time.Millisecond) {
		return nil
	}
	e.Tell("Ann's process is paused for seven seconds while it holds the lease. It does not renew,\nso the lease expires, and Bob takes over.")
	e.Line("ann").Down()
	if !e.At(14 * time.Second) {
		return nil
	}
	e.Line("ann").Up()
	e.At(14400 * time.Millisecond)
	e.Tell("Ann's process resumes and sets a desired state, as if it still led. The server compares\n" +
		"the revision of the lease in the same step, and refuses the write.")
	return set(14500*time.Millisecond, "", controlplane.Desired{State: controlplane.Stopped})
}

func bob(ctx context.Context, e *demo.Env, t *lease.Term) error {
	e.At(12900 * time.Millisecond)
	_, err := controlplane.Set(ctx, t, "web", "", controlplane.Desired{State: controlplane.Paused, Rate: 10}, controlplane.Config{})
	return err
}

func operator(ctx context.Context, e *demo.Env, nc *nats.Conn, cfg controlplane.Config) error {
	if !e.At(15900 * time.Millisecond) {
		return nil
	}
	e.Tell("An operator sends a command, which is a request to all instances: it is not stored,\nand an instance that is down misses it.")
	var replies []done
	for reply, err := range requestreply.All[emptyCache, done](ctx, nc, "web.empty-cache", emptyCache{}, requestreply.Many{}) {
		if err != nil {
			return err
		}
		replies = append(replies, reply)
	}
	e.Printf("%d instances reply: %s", len(replies), replies[0].Text)
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
