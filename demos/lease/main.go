// Command lease shows three instances of a billing service, of which one at a time
// writes invoices: the leader resigns, the next one is disconnected, and its late write
// is refused.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/lease"
)

var play = demo.Play{
	Name:    "lease",
	About:   "three instances, one leader: it resigns, the next one is disconnected, and its late write is refused",
	Lasts:   20 * time.Second,
	Streams: []string{"KV_leases"},
	Scene:   [2]time.Duration{14800 * time.Millisecond, 16300 * time.Millisecond},
	Cast:    cast,
}

func main() { play.Main() }

func cast(e *demo.Env) error {
	for _, i := range []struct {
		name    string
		start   time.Duration
		stop    time.Duration
		pauseAt int // the invoice at which the process is paused
	}{
		{"billing-1", 500 * time.Millisecond, 5100 * time.Millisecond, 0},
		{"billing-2", 700 * time.Millisecond, time.Minute, 3},
		{"billing-3", 900 * time.Millisecond, time.Minute, 0},
	} {
		e.Go(i.name, func(ctx context.Context, nc *nats.Conn) error {
			if !e.At(i.start) {
				return nil
			}
			ctx, stop := context.WithDeadline(ctx, e.Start().Add(i.stop))
			defer stop()
			return instance(ctx, e, nc, i.name, i.pauseAt)
		})
	}
	e.Go("script", func(context.Context, *nats.Conn) error {
		script(e)
		return nil
	})
	return nil
}

// instance competes for the lease. While it leads, it writes an invoice every 2.25 s.
func instance(ctx context.Context, e *demo.Env, nc *nats.Conn, name string, pauseAt int) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	c, err := lease.NewCandidate(ctx, js, "billing", name, lease.Config{TTL: 3 * time.Second, Metadata: e.Mark()})
	if err != nil {
		return err
	}
	return c.Run(ctx, func(ctx context.Context, t *lease.Term) error {
		e.Printf("%s leads, with the fencing token %d", name, t.Token())
		for n := 1; ; n++ {
			if n == pauseAt {
				time.Sleep(6 * time.Second) // also past the end of ctx
			} else if !compute(ctx) {
				return nil
			}
			_, err := t.Put(context.WithoutCancel(ctx), "invoice", fmt.Appendf(nil, "%s %d", name, n))
			if errors.Is(err, lease.ErrFenced) {
				e.Printf("%s: invoice %d refused: the term has ended", name, n)
				return nil
			}
			if err != nil {
				return err
			}
			e.Printf("%s writes invoice %d", name, n)
		}
	})
}

// compute takes 2.25 s, and reports whether ctx is still on.
func compute(ctx context.Context) bool {
	select {
	case <-time.After(2250 * time.Millisecond):
		return true
	case <-ctx.Done():
		return false
	}
}

// script stops the first leader and disconnects the second one.
func script(e *demo.Env) {
	e.Tell("Three instances compete for one lease with a TTL of 3 s. The first claim wins.")
	if !e.At(5050 * time.Millisecond) {
		return
	}
	e.Tell("billing-1 is stopped. It resigns, and another instance claims the lease within TTL/3.")
	if !e.At(10300 * time.Millisecond) {
		return
	}
	e.Tell("billing-2 is paused for 6 s while it computes its invoice 3. It does not renew, so the\nlease expires, and billing-3 claims it.")
	e.Line("billing-2").Down()
	if !e.At(15200 * time.Millisecond) {
		return
	}
	e.Line("billing-2").Up()
	e.Tell("billing-2 resumes and writes its invoice, as if it still led. The server compares the\nrevision of the lease in the same step, and refuses the write.")
}
