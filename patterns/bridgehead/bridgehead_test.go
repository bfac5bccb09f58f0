package bridgehead_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/bridgehead"
)

// The tests that wait for links do so side by side: nothing here is in a bubble.
func TestMain(m *testing.M) { natstest.Main(m) }

var (
	toHub  = bridgehead.Route{Name: "orders", From: "edge", To: "hub", Subjects: []string{"orders.>"}}
	toEdge = bridgehead.Route{Name: "prices", From: "hub", To: "edge", Subjects: []string{"prices.*.changed"}, Prefix: "central"}
)

// The link is cut three times under load. Every message of the routes arrives once, in
// order, in both directions, and both sites go on meanwhile.
func TestLink(t *testing.T) {
	t.Parallel()
	s := sites(t, false, toHub, toEdge)
	hub, edge := natstest.JetStream(t, connect(t, s.Hub)), natstest.JetStream(t, connect(t, s.Edge))
	open(t, edge, hub, toHub, bridgehead.Config{})
	open(t, hub, edge, toEdge, bridgehead.Config{})
	up(t, hub, toHub)
	up(t, edge, toEdge)
	orders, prices := []string{"orders.a.placed", "orders.b.placed", "orders.b.paid"}, []string{"prices.tea.changed", "prices.cup.changed"}
	var load sync.WaitGroup
	var ended atomic.Bool
	var fromEdge, fromHub int // of each subject
	work := func(js jetstream.JetStream, subjects []string, n *int) {
		for ; !ended.Load(); *n++ {
			publish(t, js, subjects, *n, *n+1)
		}
	}
	load.Go(func() { work(edge, orders, &fromEdge) })
	load.Go(func() { work(hub, prices, &fromHub) })
	finish := sync.OnceFunc(func() { ended.Store(true); load.Wait() })
	defer finish()
	for range 3 {
		require.NoError(t, s.Cut())
		time.Sleep(100 * time.Millisecond) // lint:bubble: the cut has to last
		before := [2]uint64{crossed(t, hub, toHub), crossed(t, edge, toEdge)}
		require.NoError(t, s.Join())
		natstest.Eventually(t, 40*time.Second, func(context.Context) error { // both directions have resumed
			now := [2]uint64{crossed(t, hub, toHub), crossed(t, edge, toEdge)}
			if now[0] <= before[0] || now[1] <= before[1] {
				return fmt.Errorf("crossed %v, before %v", now, before)
			}
			return nil
		})
	}
	finish()
	t.Logf("%d rounds of orders, %d of prices", fromEdge, fromHub)
	once(t, arrived(t, hub, "IN_orders", uint64(3*fromEdge)), []string{"edge.orders.a.placed", "edge.orders.b.placed", "edge.orders.b.paid"}, fromEdge)
	once(t, arrived(t, edge, "IN_prices", uint64(2*fromHub)), []string{"central.prices.tea.changed", "central.prices.cup.changed"}, fromHub)
}

// The mutant: a program that subscribes at one site and publishes at the other loses the
// messages of a disconnect, without an error.
func TestForwarderLoses(t *testing.T) {
	t.Parallel()
	s := sites(t, true)
	from, to := connect(t, s.Edge), connect(t, s.Hub)
	received, err := to.SubscribeSync("orders.>") // the leaf connection itself is the forwarder
	require.NoError(t, err)
	require.NoError(t, to.Flush())
	natstest.Eventually(t, 5*time.Second, func(context.Context) error { // until its interest has crossed
		if err := from.Publish("orders.a.probed", nil); err != nil {
			return err
		}
		_, err := received.NextMsg(50 * time.Millisecond)
		return err
	})
	require.NoError(t, s.Cut())
	for range 100 {
		require.NoError(t, from.Publish("orders.a.placed", nil), "without an error")
	}
	require.NoError(t, from.Flush())
	require.NoError(t, s.Join())
	for err == nil {
		var msg *nats.Msg
		if msg, err = received.NextMsg(300 * time.Millisecond); err == nil {
			require.Equal(t, "orders.a.probed", msg.Subject, "all hundred are lost")
		}
	}
	require.ErrorIs(t, err, nats.ErrTimeout)
}

// A route that is created while the link is down works when it is up.
func TestLate(t *testing.T) {
	t.Parallel()
	s := sites(t, false, toHub)
	hub, edge := natstest.JetStream(t, connect(t, s.Hub)), natstest.JetStream(t, connect(t, s.Edge))
	require.NoError(t, s.Cut())
	open(t, edge, hub, toHub, bridgehead.Config{})
	publish(t, edge, []string{"orders.a.placed"}, 0, 5)
	require.NoError(t, s.Join())
	once(t, arrived(t, hub, "IN_orders", 5), []string{"edge.orders.a.placed"}, 5)
}

// The server of the hub restarts on its store: no message is lost or stored twice.
func TestRestart(t *testing.T) {
	t.Parallel()
	s := sites(t, false, toHub)
	edge := natstest.JetStream(t, connect(t, s.Edge))
	open(t, edge, natstest.JetStream(t, connect(t, s.Hub)), toHub, bridgehead.Config{})
	publish(t, edge, []string{"orders.a.placed"}, 0, 50)
	s.Hub.Stop()
	publish(t, edge, []string{"orders.b.placed"}, 0, 50)
	require.NoError(t, s.Hub.Start())
	require.NoError(t, s.Await(1))
	hub := natstest.JetStream(t, connect(t, s.Hub))
	once(t, arrived(t, hub, "IN_orders", 100), []string{"edge.orders.a.placed", "edge.orders.b.placed"}, 50)
}

// Between clusters that are joined by gateways, streams are sourced the same way.
func TestClusters(t *testing.T) {
	t.Parallel()
	sc := natstest.NewSupercluster(t)
	route := bridgehead.Route{Name: "orders", Subjects: []string{"orders.*.placed"}, Prefix: "east"}
	east, west := natstest.JetStream(t, sc.East.Connect("east")), natstest.JetStream(t, sc.West.Connect("west"))
	natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := bridgehead.Export(ctx, east, route, bridgehead.Config{Replicas: 3, Cluster: "EAST"})
		return err
	})
	natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := bridgehead.Import(ctx, west, route, bridgehead.Config{Replicas: 3, Cluster: "WEST"})
		return err
	})
	for i := range 50 {
		natstest.Eventually(t, 10*time.Second, func(ctx context.Context) error {
			_, err := east.Publish(ctx, "orders.a.placed", fmt.Append(nil, i), jetstream.WithMsgID(fmt.Sprint(i)))
			return err
		})
	}
	once(t, arrived(t, west, "IN_orders", 50), []string{"east.orders.a.placed"}, 50)
}
