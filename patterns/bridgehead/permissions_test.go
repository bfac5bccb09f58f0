package bridgehead_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/bridgehead"
)

// With the permissions, nothing crosses that is not of a route: core subjects in either
// direction, core messages on the subjects of a route, requests, other streams and the
// management of streams.
func TestPermissions(t *testing.T) {
	t.Parallel()
	s := sites(t, false, toHub)
	hubNC, edgeNC := connect(t, s.Hub), connect(t, s.Edge)
	hub, edge := natstest.JetStream(t, hubNC), natstest.JetStream(t, edgeNC)
	open(t, edge, hub, toHub, bridgehead.Config{})
	_, err := edge.CreateStream(t.Context(), jetstream.StreamConfig{Name: "SECRET", Subjects: []string{"salaries.>"}})
	require.NoError(t, err)
	// Not ">": a subscriber to that receives the messages of the sourcing, too.
	subscribe := func(nc *nats.Conn) chan *nats.Msg {
		received := make(chan *nats.Msg, 1000)
		for _, subject := range []string{"from-hub.>", "from-edge.>", "orders.>", "$JS.S.from-hub"} {
			_, err := nc.ChanSubscribe(subject, received)
			require.NoError(t, err)
		}
		require.NoError(t, nc.Flush())
		return received
	}
	atHub, atEdge := subscribe(hubNC), subscribe(edgeNC)
	for i := range 10 {
		_, err := edge.Publish(t.Context(), "orders.a.placed", fmt.Append(nil, i))
		require.NoError(t, err)
		for nc, site := range map[*nats.Conn]string{hubNC: "hub", edgeNC: "edge"} {
			require.NoError(t, nc.Publish("from-"+site+".salaries", nil))
		}
		require.NoError(t, hubNC.Publish("$JS.S.from-hub", nil)) // the sourcing subjects cross in one direction only
	}
	once(t, arrived(t, hub, "IN_orders", 10), []string{"edge.orders.a.placed"}, 10) // by the route they cross
	for _, nc := range []*nats.Conn{hubNC, edgeNC} {
		require.NoError(t, nc.Flush())
	}
	require.Len(t, atHub, 20, "from-hub, its own")
	require.Len(t, atEdge, 20, "from-edge and orders, its own")
	_, err = hubNC.Request("$JS.edge.API.STREAM.INFO.OUT_orders", nil, 300*time.Millisecond)
	require.Error(t, err)
	_, err = edgeNC.Request("$JS.hub.API.STREAM.NAMES", nil, 300*time.Millisecond)
	require.Error(t, err)

	theft := jetstream.StreamConfig{Name: "THEFT", Sources: []*jetstream.StreamSource{{Name: "SECRET", Domain: "edge"}}}
	stolen, err := hub.CreateStream(t.Context(), theft)
	require.NoError(t, err, "creating the stream is allowed")
	_, err = edge.Publish(t.Context(), "salaries.ceo", nil)
	require.NoError(t, err)
	_, err = edge.Publish(t.Context(), "orders.a.placed", []byte("10"))
	require.NoError(t, err)
	arrived(t, hub, "IN_orders", 11) // takes at least as long as the other source would
	natstest.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		info, err := stolen.Info(ctx)
		require.NoError(t, err)
		require.Zero(t, info.State.Msgs)
		if src := info.Sources[0]; src.Error == nil && src.Active >= 0 && src.Active < time.Second {
			return fmt.Errorf("the source is active: %+v", src)
		}
		return nil
	})
}

// The mutant: without the permissions everything crosses. If both sites store the same
// subjects, a message is stored at both.
func TestNoPermissions(t *testing.T) {
	t.Parallel()
	s := sites(t, true)
	hub, edge := natstest.JetStream(t, connect(t, s.Hub)), natstest.JetStream(t, connect(t, s.Edge))
	both := toHub
	both.Name, both.From, both.To = "back", "hub", "edge" // the same subjects, the other way
	open(t, edge, hub, toHub, bridgehead.Config{})
	open(t, hub, edge, both, bridgehead.Config{})
	natstest.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		if _, err := edge.Publish(ctx, "orders.a.placed", nil); err != nil {
			return err
		}
		out, err := hub.Stream(ctx, "OUT_back")
		if err != nil {
			return err
		}
		if n := out.CachedInfo().State.Msgs; n == 0 {
			return fmt.Errorf("OUT_back at hub has %d", n)
		}
		return nil
	})
	arrived(t, edge, "IN_back", 1) // the order of the edge has returned to it
}

// With the permissions, no message of the same two routes returns.
func TestNoLoop(t *testing.T) {
	t.Parallel()
	back := toHub
	back.Name, back.From, back.To = "back", "hub", "edge"
	s := sites(t, false, toHub, back)
	hub, edge := natstest.JetStream(t, connect(t, s.Hub)), natstest.JetStream(t, connect(t, s.Edge))
	open(t, edge, hub, toHub, bridgehead.Config{})
	open(t, hub, edge, back, bridgehead.Config{})
	publish(t, edge, []string{"orders.e.placed"}, 0, 20)
	publish(t, hub, []string{"orders.h.placed"}, 0, 20)
	once(t, arrived(t, hub, "IN_orders", 20), []string{"edge.orders.e.placed"}, 20)
	once(t, arrived(t, edge, "IN_back", 20), []string{"hub.orders.h.placed"}, 20)
}

// Lag and the state of the link can be read while it is down.
func TestReadLink(t *testing.T) {
	t.Parallel()
	s := sites(t, false, toHub)
	hub, edge := natstest.JetStream(t, connect(t, s.Hub)), natstest.JetStream(t, connect(t, s.Edge))
	_, err := bridgehead.ReadLink(t.Context(), hub, toHub)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	open(t, edge, hub, toHub, bridgehead.Config{})
	publish(t, edge, []string{"orders.a.placed"}, 0, 10)
	reads := func(want func(bridgehead.Link) bool) {
		t.Helper()
		natstest.Eventually(t, 15*time.Second, func(ctx context.Context) error {
			link, err := bridgehead.ReadLink(ctx, hub, toHub)
			if err == nil && !want(link) {
				err = fmt.Errorf("%+v", link)
			}
			return err
		})
	}
	reads(func(l bridgehead.Link) bool { return l.Up && l.Received == 10 && l.Lag == 0 })
	require.NoError(t, s.Cut())
	publish(t, edge, []string{"orders.a.placed"}, 0, 5)
	reads(func(l bridgehead.Link) bool { return !l.Up && l.Received == 10 && l.Silent >= 3*time.Second })
	require.NoError(t, s.Join())
	reads(func(l bridgehead.Link) bool { return l.Up && l.Received == 15 })
}

// Not promised: a message that waits for longer than MaxAge is lost.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	s := sites(t, false, toHub)
	hub, edge := natstest.JetStream(t, connect(t, s.Hub)), natstest.JetStream(t, connect(t, s.Edge))
	open(t, edge, hub, toHub, bridgehead.Config{MaxAge: time.Second})
	up(t, hub, toHub)
	require.NoError(t, s.Cut())
	publish(t, edge, []string{"orders.a.placed"}, 0, 5)
	natstest.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		out, err := edge.Stream(ctx, "OUT_orders")
		if err == nil && out.CachedInfo().State.Msgs > 0 {
			err = fmt.Errorf("%d still wait", out.CachedInfo().State.Msgs)
		}
		return err
	})
	require.NoError(t, s.Join())
	publish(t, edge, []string{"orders.b.placed"}, 0, 1)
	require.Equal(t, []string{"edge.orders.b.placed 0"}, arrived(t, hub, "IN_orders", 1))
}

// A full stream refuses messages at From and stops sourcing at To. Nothing is lost, and
// after room was made the rest arrives.
func TestMaxBytes(t *testing.T) {
	t.Parallel()
	s := sites(t, false, toHub)
	hub, edge := natstest.JetStream(t, connect(t, s.Hub)), natstest.JetStream(t, connect(t, s.Edge))
	_, err := bridgehead.Export(t.Context(), edge, toHub, bridgehead.Config{MaxBytes: 100_000})
	require.NoError(t, err)
	in, err := bridgehead.Import(t.Context(), hub, toHub, bridgehead.Config{MaxBytes: 20_000})
	require.NoError(t, err)
	stored := 0
	for ; err == nil; stored++ {
		_, err = edge.Publish(t.Context(), "orders.a.placed", make([]byte, 1000))
	}
	stored--
	require.ErrorContains(t, err, "maximum bytes exceeded")
	require.Greater(t, stored, 50)
	natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		if err := in.Purge(ctx); err != nil { // as a consumer that deletes what it has read
			return err
		}
		link, err := bridgehead.ReadLink(ctx, hub, toHub)
		if err == nil && link.Received < uint64(stored) {
			err = fmt.Errorf("%d of %d have arrived", link.Received, stored)
		}
		return err
	})
}
