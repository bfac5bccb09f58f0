//go:build containers

// Package containers runs nats-servers in containers, which nobody here configured:
// what a pattern promises has to hold there as well.
package containers

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	mobynet "github.com/moby/moby/api/types/network"
	"github.com/nats-io/nats.go"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"

	"github.com/natspatterns/catalog/internal/natstest"
)

// image is what the containers run.
func image() string { return cmp.Or(os.Getenv("NATS_IMAGE"), "nats:2.15") }

// Server starts one server with JetStream, and returns its URL.
func Server(tb testing.TB) string {
	tb.Helper()
	port := natstest.FreePort(tb)
	run(tb, port, nil, "-js", "-sd", "/data")
	return fmt.Sprintf("nats://127.0.0.1:%d", port)
}

// Cluster is three servers, each in a container.
type Cluster struct {
	nodes []testcontainers.Container
	urls  []string
}

// NewCluster starts a cluster, ready for streams of three replicas.
func NewCluster(tb testing.TB) *Cluster {
	tb.Helper()
	ctx := context.Background()
	net, err := network.New(ctx)
	if err != nil {
		tb.Fatal("containers: network: ", err)
	}
	tb.Cleanup(func() { _ = net.Remove(ctx) }) // what is left of it is docker's to clean
	c := &Cluster{}
	for i := range 3 {
		port := natstest.FreePort(tb)
		name := fmt.Sprintf("n%d", i)
		c.urls = append(c.urls, fmt.Sprintf("nats://127.0.0.1:%d", port))
		c.nodes = append(c.nodes, run(tb, port, func(r *testcontainers.ContainerRequest) {
			r.Networks, r.NetworkAliases = []string{net.Name}, map[string][]string{net.Name: {name}}
		}, "-js", "-sd", "/data", "--name", name, "--cluster_name", "C1", "--cluster", "nats://0.0.0.0:6222",
			"--routes", "nats://n0:6222,nats://n1:6222,nats://n2:6222", "--client_advertise", fmt.Sprintf("127.0.0.1:%d", port)))
	}
	return c
}

// URL names all servers.
func (c *Cluster) URL() string { return strings.Join(c.urls, ",") }

// Restart stops server i, which loses what it had in memory, and starts it again.
func (c *Cluster) Restart(tb testing.TB, i int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	grace := 5 * time.Second
	if err := c.nodes[i].Stop(ctx, &grace); err != nil {
		tb.Fatal("containers: stop: ", err)
	}
	if err := c.nodes[i].Start(ctx); err != nil {
		tb.Fatal("containers: start: ", err)
	}
}

// Connect returns a connection to url, closed when the test ends.
func Connect(tb testing.TB, url, name string) *nats.Conn {
	tb.Helper()
	nc, err := nats.Connect(url, nats.Name(name), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.RetryOnFailedConnect(true),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	return nc
}

// run starts a container of which port 4222 is the given one here, also after a
// restart.
func run(tb testing.TB, port int, also func(*testcontainers.ContainerRequest), args ...string) testcontainers.Container {
	tb.Helper()
	req := testcontainers.ContainerRequest{
		Image: image(), Cmd: args, ExposedPorts: []string{"4222/tcp"},
		HostConfigModifier: func(h *container.HostConfig) {
			h.PortBindings = mobynet.PortMap{mobynet.MustParsePort("4222/tcp"): {{HostIP: netip.MustParseAddr("127.0.0.1"), HostPort: fmt.Sprint(port)}}}
		},
		WaitingFor: wait.ForAll(wait.ForLog("Server is ready"), wait.ForListeningPort("4222/tcp").SkipInternalCheck()).WithDeadline(30 * time.Second),
	}
	if also != nil {
		also(&req)
	}
	c, err := testcontainers.GenericContainer(context.Background(), testcontainers.GenericContainerRequest{ContainerRequest: req, Started: true})
	testcontainers.CleanupContainer(tb, c)
	if err != nil {
		tb.Fatal("containers: ", image(), ": ", err)
	}
	return c
}
