//go:build containers

package bridgehead_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/containers"
	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/bridgehead"
)

// bring stores messages at From, one cut in between, and checks them at To.
func bring(t *testing.T, from, to jetstream.JetStream, route bridgehead.Route, cfg bridgehead.Config, subject string, cut func()) {
	t.Helper()
	natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := bridgehead.Export(ctx, from, route, cfg)
		return err
	})
	natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		_, err := bridgehead.Import(ctx, to, route, cfg)
		return err
	})
	up(t, to, route)
	cutting := make(chan struct{})
	for i := range 200 {
		if i == 50 {
			go func() { defer close(cutting); cut() }()
		}
		natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
			_, err := from.Publish(ctx, subject, fmt.Append(nil, i), jetstream.WithMsgID(fmt.Sprint(i)))
			return err
		})
		time.Sleep(10 * time.Millisecond) // lint:bubble: the load has to last as long as the cut
	}
	<-cutting
	once(t, arrived(t, to, "IN_"+route.Name, 200), []string{route.Prefix + "." + subject}, 200)
}

func TestContainers(t *testing.T) {
	route := toHub
	route.Prefix = "edge"
	permissions, err := bridgehead.Permissions("edge", route)
	require.NoError(t, err)
	s := containers.NewSites(t, permissions)
	edge := natstest.JetStream(t, containers.Connect(t, s.EdgeURL, "edge"))
	hub := natstest.JetStream(t, containers.Connect(t, s.HubURL, "hub"))
	bring(t, edge, hub, route, bridgehead.Config{}, "orders.a.placed", func() { s.RestartHub(t) })
}

func TestContainersCluster(t *testing.T) {
	c := containers.NewCluster(t)
	js := natstest.JetStream(t, containers.Connect(t, c.URL(), "both"))
	route := bridgehead.Route{Name: "orders", Subjects: []string{"orders.*.placed"}, Prefix: "copy"}
	bring(t, js, js, route, bridgehead.Config{Replicas: 3}, "orders.a.placed", func() { c.Restart(t, 1) })
}
