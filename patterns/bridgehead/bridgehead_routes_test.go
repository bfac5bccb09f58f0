package bridgehead_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/bridgehead"
)

func TestRoutes(t *testing.T) {
	with := func(change func(*bridgehead.Route)) bridgehead.Route {
		tr := bridgehead.Route{Name: "orders", From: "edge", To: "hub", Subjects: []string{"orders.>"}}
		change(&tr)
		return tr
	}
	for _, tc := range []struct {
		name   string
		routes []bridgehead.Route
		err    error
		text   string
	}{
		{"one", []bridgehead.Route{toHub}, nil, ""},
		{"both ways", []bridgehead.Route{toHub, toEdge}, nil, ""},
		{"a bad name", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Name = "a.b" })}, bridgehead.ErrID, "Name"},
		{"one domain", []bridgehead.Route{with(func(t *bridgehead.Route) { t.To = "" })}, bridgehead.ErrConfig, "two domains"},
		{"the same domain", []bridgehead.Route{with(func(t *bridgehead.Route) { t.To = "edge" })}, bridgehead.ErrConfig, "two domains"},
		{"a bad domain", []bridgehead.Route{with(func(t *bridgehead.Route) { t.To = "a b" })}, bridgehead.ErrID, "To"},
		{"a domain of dots", []bridgehead.Route{with(func(t *bridgehead.Route) { t.From = ".edge" })}, bridgehead.ErrID, ".edge"},
		{"a prefix that ends in a dot", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Prefix = "edge." })}, bridgehead.ErrID, "Prefix"},
		{"clusters without a prefix", []bridgehead.Route{with(func(t *bridgehead.Route) { t.From, t.To = "", "" })}, bridgehead.ErrConfig, "Prefix is empty"},
		{"clusters", []bridgehead.Route{with(func(t *bridgehead.Route) { t.From, t.To, t.Prefix = "", "", "east" })}, nil, ""},
		{"a wildcard first", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Subjects = []string{"*.placed"} })}, nil, ""},
		{"one subject takes what arrives by another", []bridgehead.Route{with(func(t *bridgehead.Route) {
			t.Subjects = []string{"orders.placed", "edge.orders.*"}
		})}, bridgehead.ErrLoop, "edge.orders.placed"},
		{"the other site uses the same prefix", []bridgehead.Route{toHub, with(func(t *bridgehead.Route) {
			t.Name, t.From, t.To, t.Subjects = "back", "hub", "edge", []string{"edge.prices.>"}
		})}, nil, ""},
		{"no subjects", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Subjects = nil })}, bridgehead.ErrConfig, "Subjects is empty"},
		{"all subjects", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Subjects = []string{">"} })}, bridgehead.ErrConfig, "Subjects"},
		{"an empty token", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Subjects = []string{"a..b"} })}, bridgehead.ErrConfig, "Subjects"},
		{"a system subject", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Subjects = []string{"$JS.>"} })}, bridgehead.ErrConfig, "Subjects"},
		{"overlapping subjects", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Subjects = []string{"a.*.c", "a.b.>"} })}, bridgehead.ErrConfig, "overlap"},
		{"a route takes what it brings", []bridgehead.Route{with(func(t *bridgehead.Route) { t.Subjects, t.Prefix = []string{"orders.>"}, "orders" })}, bridgehead.ErrLoop, "as orders.orders.>"},
		{"a message returns", []bridgehead.Route{toHub, with(func(t *bridgehead.Route) {
			t.Name, t.From, t.To, t.Subjects = "back", "hub", "edge", []string{"edge.>"}
		})}, bridgehead.ErrLoop, "route orders arrive at hub"},
		{"two of one name", []bridgehead.Route{toHub, toHub}, bridgehead.ErrConfig, "two routes have the name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := bridgehead.Check(tc.routes...)
			require.ErrorIs(t, err, tc.err)
			if tc.text != "" {
				require.ErrorContains(t, err, tc.text)
				_, err := bridgehead.Permissions("edge", tc.routes...)
				require.ErrorIs(t, err, tc.err)
			}
		})
	}
	_, err := bridgehead.Permissions("moon", toHub)
	require.ErrorIs(t, err, bridgehead.ErrConfig)
	_, err = bridgehead.Permissions("edge")
	require.ErrorContains(t, err, "there is no route", "an empty list would permit everything")
	_, err = bridgehead.Permissions("", bridgehead.Route{Name: "orders", Subjects: []string{"orders.>"}, Prefix: "east"})
	require.ErrorIs(t, err, bridgehead.ErrConfig)
	require.ErrorContains(t, err, "an account for each site")
}

// An existing stream that is weaker is refused, by the name of the field; Provision changes it.
func TestExistingStreams(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("t")
	_, err := bridgehead.Export(ctx, js, toHub, bridgehead.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	for range 2 { // the second finds it
		_, err = bridgehead.Export(ctx, js, toHub, bridgehead.Config{})
		require.NoError(t, err)
		_, err = bridgehead.Import(ctx, js, toHub, bridgehead.Config{})
		require.NoError(t, err)
	}
	_, err = bridgehead.Export(ctx, js, toHub, bridgehead.Config{MaxAge: time.Hour})
	require.NoError(t, err, "a longer MaxAge is stronger")
	longer := bridgehead.Config{MaxAge: 30 * 24 * time.Hour}
	_, err = bridgehead.Export(ctx, js, toHub, longer)
	require.ErrorIs(t, err, bridgehead.ErrMismatch)
	require.ErrorContains(t, err, "MaxAge")
	require.NoError(t, bridgehead.ProvisionExport(ctx, js, toHub, longer))
	_, err = bridgehead.Export(ctx, js, toHub, longer)
	require.NoError(t, err)
	renamed := toHub
	renamed.Prefix = "berlin"
	_, err = bridgehead.Import(ctx, js, renamed, bridgehead.Config{})
	require.ErrorIs(t, err, bridgehead.ErrMismatch)
	require.ErrorContains(t, err, "Sources")
	require.NoError(t, bridgehead.ProvisionImport(ctx, js, renamed, bridgehead.Config{}))

	for _, cfg := range []bridgehead.Config{{MaxAge: time.Millisecond}, {Replicas: -1}, {Replicas: 6}, {MaxBytes: -1}} {
		_, err = bridgehead.Export(ctx, js, toHub, cfg)
		require.ErrorIs(t, err, bridgehead.ErrConfig)
		require.ErrorIs(t, bridgehead.ProvisionImport(ctx, js, toHub, cfg), bridgehead.ErrConfig)
	}
	bad := toHub
	bad.Name = strings.Repeat("x", 5000)
	_, err = bridgehead.Import(ctx, js, bad, bridgehead.Config{})
	require.ErrorIs(t, err, bridgehead.ErrID)
	_, err = bridgehead.ReadLink(ctx, js, bad)
	require.ErrorIs(t, err, bridgehead.ErrID)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = bridgehead.Export(ended, js, toEdge, bridgehead.Config{})
	require.ErrorIs(t, err, context.Canceled)
	js.Conn().Close()
	_, err = bridgehead.Export(ctx, js, toEdge, bridgehead.Config{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}
