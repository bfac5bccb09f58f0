package controlplane_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
)

func TestBadInput(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("t")
	kv := bucket(t, s)
	running := controlplane.Desired{State: controlplane.Running}
	for _, id := range []string{"", "a.b", "*", ">", "a b", "a\x00", strings.Repeat("x", 5000)} {
		_, err := controlplane.NewAgent(ctx, js, id, "web-1", controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
		_, err = controlplane.NewAgent(ctx, js, "web", id, controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
		_, err = controlplane.Reports(ctx, js, id, controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
		_, err = controlplane.Set(ctx, kv, id, "", running, controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrID)
		if id != "" {
			_, err = controlplane.Set(ctx, kv, "web", id, running, controlplane.Config{})
			require.ErrorIs(t, err, controlplane.ErrID)
		}
	}
	for field, cfg := range map[string]controlplane.Config{
		"Bucket": {Bucket: "a.b"}, "Backoff": {Backoff: -1}, "Grace": {Grace: -1}, "Replicas": {Replicas: 9}, "MaxBytes": {MaxBytes: -1},
	} {
		_, err := controlplane.NewAgent(ctx, js, "web", "web-1", cfg)
		require.ErrorIs(t, err, controlplane.ErrConfig)
		require.ErrorContains(t, err, field)
		require.ErrorIs(t, controlplane.Provision(ctx, js, cfg), controlplane.ErrConfig)
	}
	for _, d := range []controlplane.Desired{{}, {State: "sleeping"}, {State: "running", LogLevel: "loud"}, {State: "running", Rate: -1}} {
		_, err := controlplane.Set(ctx, kv, "web", "", d, controlplane.Config{})
		require.ErrorIs(t, err, controlplane.ErrConfig)
	}
	_, err := controlplane.Set(ctx, kv, "web", "", running, controlplane.Config{Bucket: "other"})
	require.ErrorIs(t, err, controlplane.ErrConfig, "the agents would not receive it")

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = controlplane.NewAgent(ended, js, "web", "web-1", controlplane.Config{})
	require.ErrorIs(t, err, context.Canceled)
	a, err := controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{})
	require.NoError(t, err)
	apply := func(context.Context, controlplane.Desired) error { return nil }
	require.NoError(t, a.Run(ended, apply))
	require.ErrorIs(t, a.Run(ctx, apply), controlplane.ErrAlreadyRun)
	a, err = controlplane.NewAgent(ctx, js, "web", "web-1", controlplane.Config{})
	require.NoError(t, err)
	require.ErrorIs(t, a.Run(ctx, nil), controlplane.ErrConfig)
}

func TestClosed(t *testing.T) {
	s := natstest.Start(t)
	nc, called := s.Connect("t"), make(chan struct{})
	_, err := controlplane.Set(t.Context(), bucket(t, s), "web", "", controlplane.Desired{State: controlplane.Running}, controlplane.Config{})
	require.NoError(t, err)
	a, err := controlplane.NewAgent(t.Context(), natstest.JetStream(t, nc), "web", "web-1", controlplane.Config{})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		done <- a.Run(t.Context(), func(ctx context.Context, _ controlplane.Desired) error {
			close(called)
			<-ctx.Done()
			return controlplane.ErrRefused
		})
	}()
	<-called
	nc.Close()
	require.ErrorIs(t, <-done, nats.ErrConnectionClosed)
}
