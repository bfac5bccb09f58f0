package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
)

func TestMain(m *testing.M) { natstest.Main(m) }

var config = lease.Config{Bucket: "jobs", TTL: 3 * time.Second}

// lead runs a candidate for the lease "leader"; act is called for each of its terms,
// which last until end, or until the lease is lost.
func lead(t *testing.T, s *natstest.Server, instance string, act func(ctx context.Context, term *lease.Term)) (end func()) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c, err := lease.NewCandidate(ctx, s.JetStream(instance), "leader", instance, config)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(ctx, func(ctx context.Context, term *lease.Term) error {
			act(ctx, term)
			<-ctx.Done()
			return nil
		})
	}()
	return func() {
		t.Helper()
		stop()
		require.NoError(t, <-ended)
	}
}
