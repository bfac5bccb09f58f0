package natstest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// A stream of three replicas has its acknowledged messages after its leader restarts.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := natstest.NewCluster(t)
	js := natstest.JetStream(t, c.Connect("test"))
	natstest.Eventually(t, 15*time.Second, func(ctx context.Context) error {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: 3})
		return err
	})
	_, err := js.Publish(t.Context(), "s.1", nil)
	require.NoError(t, err)
	leader := c.Leader(js, "S")
	leader.Stop()
	require.NoError(t, leader.Start())
	c.WaitCurrent()
	natstest.Eventually(t, 15*time.Second, func(ctx context.Context) error {
		s, err := js.Stream(ctx, "S")
		if err == nil && s.CachedInfo().State.Msgs != 1 {
			err = errors.New("the message is gone")
		}
		return err
	})
}

// A leaf node works in its own domain while its link is cut, and reconnects.
func TestHub(t *testing.T) {
	t.Parallel()
	hub := natstest.NewHub(t)
	leaf := hub.Leaf("leaf")
	js := leaf.JetStream("test")
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}})
	require.NoError(t, err)
	leaf.Proxy.Down()
	leaf.Linked(0)
	_, err = js.Publish(t.Context(), "s.1", nil)
	require.NoError(t, err)
	leaf.Proxy.Up()
	leaf.Linked(1)
	fromHub, err := jetstream.NewWithDomain(hub.Connect("test"), "leaf")
	require.NoError(t, err)
	natstest.Eventually(t, 15*time.Second, func(ctx context.Context) error {
		_, err := fromHub.Stream(ctx, "S")
		return err
	})
	hub.Stop()
	require.NoError(t, hub.Start())
	leaf.Linked(1)
}

// A message published in the west is stored by a stream placed in the east.
func TestSupercluster(t *testing.T) {
	sc := natstest.NewSupercluster(t)
	js := natstest.JetStream(t, sc.West.Connect("test"))
	natstest.Eventually(t, 20*time.Second, func(ctx context.Context) error {
		_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
			Name: "S", Subjects: []string{"s.>"}, Replicas: 3, Placement: &jetstream.Placement{Cluster: "EAST"},
		})
		return err
	})
	natstest.Eventually(t, 15*time.Second, func(ctx context.Context) error {
		_, err := js.Publish(ctx, "s.1", nil)
		return err
	})
}
