//go:build containers

package eventstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/containers"
	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

func TestContainers(t *testing.T) {
	url := containers.Server(t)
	conform(t, func(t *testing.T, name string) *nats.Conn { return containers.Connect(t, url, name) }, eventstore.Config{})
}

// A server of three stops and starts again while events are appended: each is there
// once, and the versions have no gap.
func TestContainersCluster(t *testing.T) {
	c := containers.NewCluster(t)
	connect := func(t *testing.T, name string) *nats.Conn { return containers.Connect(t, c.URL(), name) }
	js := natstest.JetStream(t, connect(t, "writer"))
	cfg := eventstore.Config{Replicas: 3}
	natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error { return eventstore.Provision(ctx, js, "restart", cfg) })
	conform(t, connect, cfg)

	store, err := eventstore.New(t.Context(), js, "restart", cfg)
	require.NoError(t, err)
	restarted := make(chan struct{})
	go func() { defer close(restarted); c.Restart(t, 1) }()
	var at eventstore.Version
	for i := range 200 {
		e, err := eventstore.NewEvent(fmt.Sprintf("event-%d", i), "happened", i)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		at, err = store.Append(ctx, "one", at, e)
		cancel()
		require.NoError(t, err)
	}
	<-restarted
	natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		n := uint64(0)
		for e, err := range store.Load(ctx, "one", eventstore.Version{}) {
			if err != nil {
				return err
			}
			if n++; e.Version.N != n || e.ID != fmt.Sprintf("event-%d", n-1) {
				return fmt.Errorf("event %d is %s at %d", n, e.ID, e.Version.N)
			}
		}
		if n != 200 {
			return fmt.Errorf("%d of 200 events", n)
		}
		return nil
	})
}
