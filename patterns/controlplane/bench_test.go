package controlplane_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/controlplane"
	"github.com/natspatterns/catalog/patterns/lease"
)

const changes = 500

// p50 returns the median time from a change to its call of apply.
func p50(b *testing.B, change func(n int) error, applied <-chan int) time.Duration {
	took := make([]time.Duration, changes)
	for n := range took {
		start := time.Now()
		if err := change(n); err != nil {
			b.Fatal(err)
		}
		for got := range applied {
			if got == n {
				break
			}
		}
		took[n] = time.Since(start)
	}
	slices.Sort(took)
	return took[changes/2]
}

func ours(b *testing.B) time.Duration {
	s := natstest.Start(b)
	ctx, stop := context.WithCancel(b.Context())
	a, err := controlplane.NewAgent(ctx, s.JetStream("agent"), "web", "web-1", controlplane.Config{})
	if err != nil {
		b.Fatal(err)
	}
	c, err := lease.NewCandidate(ctx, s.JetStream("controller"), "lease", "ann", lease.Config{Bucket: "control"})
	if err != nil {
		b.Fatal(err)
	}
	applied, ended := make(chan int, 1), make(chan error, 2)
	go func() {
		ended <- a.Run(ctx, func(_ context.Context, d controlplane.Desired) error {
			applied <- int(d.Rate)
			return nil
		})
	}()
	took := make(chan time.Duration, 1)
	go func() {
		ended <- c.Run(ctx, func(ctx context.Context, t *lease.Term) error {
			took <- p50(b, func(n int) error {
				_, err := controlplane.Set(ctx, t, "web", "", controlplane.Desired{State: controlplane.Running, Rate: float64(n)}, controlplane.Config{})
				return err
			}, applied)
			<-ctx.Done()
			return nil
		})
	}()
	d := <-took
	stop()
	for range 2 {
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
	}
	return d
}

// plain puts a key that another process watches; that process puts a key as well: no
// lease, no transitions.
func plain(b *testing.B) time.Duration {
	s := natstest.Start(b)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	kv, err := s.JetStream("controller").CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "control"})
	if err != nil {
		b.Fatal(err)
	}
	w, err := kv.Watch(ctx, "desired.web")
	if err != nil {
		b.Fatal(err)
	}
	applied := make(chan int, 1)
	go func() {
		for e := range w.Updates() {
			if e == nil {
				continue
			}
			var d controlplane.Desired
			if err := json.Unmarshal(e.Value(), &d); err == nil {
				applied <- int(d.Rate)
				if _, err := kv.Put(ctx, "observed.web", e.Value()); err != nil {
					return // the benchmark stops and prints where
				}
			}
		}
	}()
	took := p50(b, func(n int) error {
		data, err := json.Marshal(controlplane.Desired{State: controlplane.Running, Rate: float64(n)})
		if err == nil {
			_, err = kv.Put(ctx, "desired.web", data)
		}
		return err
	}, applied)
	if err := w.Stop(); err != nil {
		b.Fatal(err)
	}
	return took
}

func BenchmarkConverge(b *testing.B) {
	ratio.Bar{Pattern: "controlplane", Metric: "p50 from Set to Apply, beside put and watch", AtMost: 1.5}.Compare(b, plain, ours)
}
