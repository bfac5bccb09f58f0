package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/ratio"
	"github.com/natspatterns/catalog/patterns/lease"
)

const writes = 2000

// repeat returns the time of all writes, one after the other.
func repeat(b *testing.B, put func() error) time.Duration {
	start := time.Now()
	for range writes {
		if err := put(); err != nil {
			b.Fatal(err)
		}
	}
	return time.Since(start)
}

func ours(b *testing.B) time.Duration {
	s := natstest.Start(b)
	c, err := lease.NewCandidate(b.Context(), s.JetStream("ann"), "leader", "ann", lease.Config{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var took time.Duration
	err = c.Run(ctx, func(ctx context.Context, term *lease.Term) error {
		defer stop()
		took = repeat(b, func() error { _, err := term.Put(ctx, "next", []byte("7")); return err })
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// plain puts a key of the same bucket: no lease, no fence.
func plain(b *testing.B) time.Duration {
	s := natstest.Start(b)
	kv, err := s.JetStream("ann").CreateKeyValue(b.Context(), jetstream.KeyValueConfig{Bucket: "leases", LimitMarkerTTL: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	return repeat(b, func() error { _, err := kv.Put(b.Context(), "next", []byte("7")); return err })
}

func BenchmarkPut(b *testing.B) {
	ratio.Bar{Pattern: "lease", Metric: "a write under the lease, beside kv.Put", AtMost: 1.5}.Compare(b, plain, ours)
}
