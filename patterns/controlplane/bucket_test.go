package controlplane_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
)

// What exists and differs is not changed but named; Provision changes it.
func TestBucket(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("t")
		_, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "control", TTL: time.Hour})
		require.NoError(t, err)
		_, err = controlplane.NewController(ctx, js, "ann", controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrMismatch)
		require.ErrorContains(t, err, "LimitMarkerTTL")
		require.NoError(t, controlplane.Provision(ctx, js, controlplane.Config{}))
		_, err = controlplane.NewController(ctx, js, "ann", controlplane.Config{})
		require.NoError(t, err)

		_, err = controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{Bucket: "other", Bind: true})
		require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
		_, err = js.KeyValue(ctx, "other")
		require.ErrorIs(t, err, jetstream.ErrBucketNotFound, "Bind creates nothing")
	})
}

func TestClosed(t *testing.T) {
	s := natstest.Start(t)
	ctx, nc := t.Context(), s.Connect("t")
	js := natstest.JetStream(t, nc)
	a, err := controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{})
	require.NoError(t, err)
	c, err := controlplane.NewController(ctx, js, "ann", controlplane.Config{Lease: time.Second})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		done <- a.Run(ctx, controlplane.Handlers{Apply: func(context.Context, controlplane.Desired) error { return nil }})
	}()
	nc.Close()
	require.ErrorIs(t, <-done, nats.ErrConnectionClosed)
	require.ErrorIs(t, c.Run(ctx, func(context.Context, *controlplane.Term) error { return nil }), nats.ErrConnectionClosed)
}
