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

// The server that leads the stream goes while eight hundred messages are on their
// way. A Publisher stores each once, and
// the subscriber is given all.
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
	var gone sync.WaitGroup
	for i := range 400 {
		if i == 100 {
			gone.Go(leader.Stop)
		}
		require.NoError(t, p.Send(ctx, fmt.Sprint("order-", i), none))
	}
	require.NoError(t, p.Close(ctx))
	gone.Wait()
	require.NoError(t, leader.Start())
	var l ledger
	for len(l.ids()) < 400 {
		_, err := sub.Poll(ctx, 400, l.did)
		require.NoError(t, err)
	}
	require.Len(t, l.count(), 400)
	require.Len(t, l.ids(), 400)
}
