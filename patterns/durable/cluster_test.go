package durable_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// The leader of the stream stops while a Publisher sends four hundred messages. Each is
// stored once, and the subscriber handles all.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := natstest.NewCluster(t)
	js := natstest.JetStream(t, c.Connect("shop"))
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	p, err := durable.NewPublisher(ctx, js, "orders", durable.Config{Replicas: 3})
	require.NoError(t, err)
	sub := subscribe(t, natstest.JetStream(t, c.Connect("desk")), "desk", durable.Config{Replicas: 3})
	leader := c.Leader(js, "DURABLE_orders")
	var stopped sync.WaitGroup
	for i := range 400 {
		if i == 100 {
			stopped.Go(leader.Stop)
		}
		require.NoError(t, p.Send(ctx, fmt.Sprint("order-", i), none))
	}
	require.NoError(t, p.Close(ctx))
	stopped.Wait()
	require.NoError(t, leader.Start())
	var r recorder
	for len(r.ids()) < 400 {
		_, err := sub.Poll(ctx, 400, r.handle)
		require.NoError(t, err)
	}
	require.Len(t, r.count(), 400)
	require.Len(t, r.ids(), 400)
}
