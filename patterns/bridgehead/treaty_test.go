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

func TestTreaty(t *testing.T) {
	with := func(change func(*bridgehead.Treaty)) bridgehead.Treaty {
		tr := bridgehead.Treaty{Name: "orders", From: "edge", To: "hub", Subjects: []string{"orders.>"}}
		change(&tr)
		return tr
	}
	for _, tc := range []struct {
		name     string
		treaties []bridgehead.Treaty
		err      error
		text     string
	}{
		{"one", []bridgehead.Treaty{toHub}, nil, ""},
		{"both ways", []bridgehead.Treaty{toHub, toEdge}, nil, ""},
		{"a bad name", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Name = "a.b" })}, bridgehead.ErrID, "Name"},
		{"one domain", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.To = "" })}, bridgehead.ErrConfig, "two domains"},
		{"the same domain", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.To = "edge" })}, bridgehead.ErrConfig, "two domains"},
		{"a bad domain", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.To = "a b" })}, bridgehead.ErrID, "To"},
		{"a domain of dots", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.From = ".edge" })}, bridgehead.ErrID, ".edge"},
		{"a prefix that ends in a dot", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Prefix = "edge." })}, bridgehead.ErrID, "Prefix"},
		{"clusters without a prefix", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.From, t.To = "", "" })}, bridgehead.ErrConfig, "Prefix is empty"},
		{"clusters", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.From, t.To, t.Prefix = "", "", "east" })}, nil, ""},
		{"a wildcard first", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Subjects = []string{"*.placed"} })}, nil, ""},
		{"what arrives by one subject is agreed by another", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) {
			t.Subjects = []string{"orders.placed", "edge.orders.*"}
		})}, bridgehead.ErrLoop, "edge.orders.placed"},
		{"what the other site has under the same prefix goes back", []bridgehead.Treaty{toHub, with(func(t *bridgehead.Treaty) {
			t.Name, t.From, t.To, t.Subjects = "back", "hub", "edge", []string{"edge.prices.>"}
		})}, nil, ""},
		{"nothing agreed", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Subjects = nil })}, bridgehead.ErrConfig, "Subjects is empty"},
		{"everything agreed", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Subjects = []string{">"} })}, bridgehead.ErrConfig, "Subjects"},
		{"no subject", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Subjects = []string{"a..b"} })}, bridgehead.ErrConfig, "Subjects"},
		{"a system subject", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Subjects = []string{"$JS.>"} })}, bridgehead.ErrConfig, "Subjects"},
		{"agreed twice", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Subjects = []string{"a.*.c", "a.b.>"} })}, bridgehead.ErrConfig, "overlap"},
		{"what arrives is agreed again", []bridgehead.Treaty{with(func(t *bridgehead.Treaty) { t.Subjects, t.Prefix = []string{"orders.>"}, "orders" })}, bridgehead.ErrLoop, "as orders.orders.>"},
		{"what arrives goes back", []bridgehead.Treaty{toHub, with(func(t *bridgehead.Treaty) {
			t.Name, t.From, t.To, t.Subjects = "back", "hub", "edge", []string{"edge.>"}
		})}, bridgehead.ErrLoop, "orders brings to hub"},
		{"two of a name", []bridgehead.Treaty{toHub, toHub}, bridgehead.ErrConfig, "two treaties"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := bridgehead.Check(tc.treaties...)
			require.ErrorIs(t, err, tc.err)
			if tc.text != "" {
				require.ErrorContains(t, err, tc.text)
				_, err := bridgehead.Border("edge", tc.treaties...)
				require.ErrorIs(t, err, tc.err)
			}
		})
	}
	_, err := bridgehead.Border("moon", toHub)
	require.ErrorIs(t, err, bridgehead.ErrConfig)
	_, err = bridgehead.Border("edge")
	require.ErrorContains(t, err, "no treaty", "an empty list would permit everything")
	_, err = bridgehead.Border("", bridgehead.Treaty{Name: "orders", Subjects: []string{"orders.>"}, Prefix: "east"})
	require.ErrorIs(t, err, bridgehead.ErrConfig)
	require.ErrorContains(t, err, "an account for each site")
}

// What exists and differs is named and not changed; Provision changes it.
func TestStreams(t *testing.T) {
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
	_, err = bridgehead.Export(ctx, js, toHub, bridgehead.Config{Keep: time.Hour})
	require.ErrorIs(t, err, bridgehead.ErrMismatch)
	require.ErrorContains(t, err, "MaxAge")
	require.NoError(t, bridgehead.ProvisionExport(ctx, js, toHub, bridgehead.Config{Keep: time.Hour}))
	_, err = bridgehead.Export(ctx, js, toHub, bridgehead.Config{Keep: time.Hour})
	require.NoError(t, err)
	renamed := toHub
	renamed.Prefix = "berlin"
	_, err = bridgehead.Import(ctx, js, renamed, bridgehead.Config{})
	require.ErrorIs(t, err, bridgehead.ErrMismatch)
	require.ErrorContains(t, err, "Sources")
	require.NoError(t, bridgehead.ProvisionImport(ctx, js, renamed, bridgehead.Config{}))

	for _, cfg := range []bridgehead.Config{{Keep: time.Millisecond}, {Replicas: -1}} {
		_, err = bridgehead.Export(ctx, js, toHub, cfg)
		require.ErrorIs(t, err, bridgehead.ErrConfig)
		require.ErrorIs(t, bridgehead.ProvisionImport(ctx, js, toHub, cfg), bridgehead.ErrConfig)
	}
	bad := toHub
	bad.Name = strings.Repeat("x", 5000)
	_, err = bridgehead.Import(ctx, js, bad, bridgehead.Config{})
	require.ErrorIs(t, err, bridgehead.ErrID)
	_, err = bridgehead.Read(ctx, js, bad)
	require.ErrorIs(t, err, bridgehead.ErrID)

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = bridgehead.Export(ended, js, toEdge, bridgehead.Config{})
	require.ErrorIs(t, err, context.Canceled)
	js.Conn().Close()
	_, err = bridgehead.Export(ctx, js, toEdge, bridgehead.Config{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}
