//go:build containers

package requestreply_test

import (
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/natspatterns/catalog/internal/containers"
)

func TestContainers(t *testing.T) {
	url := containers.Server(t)
	conform(t, func(name string) *nats.Conn { return containers.Connect(t, url, name) })
}

func TestContainersCluster(t *testing.T) {
	c := containers.NewCluster(t)
	connect := func(name string) *nats.Conn { return containers.Connect(t, c.URL(), name) }
	conform(t, connect)
	c.Restart(t, 1)
	conform(t, connect)
}
