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

// Sites is two servers, hub and edge, joined by a leaf node connection.
type Sites struct {
	HubURL, EdgeURL string
	hub             testcontainers.Container
}

// NewSites starts the sites; permissions are those of edge at hub, as the text of a
// server configuration.
func NewSites(tb testing.TB, permissions string) *Sites {
	tb.Helper()
	net := newNetwork(tb)
	site := func(name, conf string) (testcontainers.Container, string) {
		port := natstest.FreePort(tb)
		c := run(tb, port, func(r *testcontainers.ContainerRequest) {
			r.Networks, r.NetworkAliases = []string{net}, map[string][]string{net: {name}}
			r.Files = []testcontainers.ContainerFile{{Reader: strings.NewReader(conf), ContainerFilePath: "/site.conf", FileMode: 0o444}}
		}, "-c", "/site.conf")
		return c, fmt.Sprintf("nats://127.0.0.1:%d", port)
	}
	s := &Sites{}
	s.hub, s.HubURL = site("hub", fmt.Sprintf(`
		server_name: hub, jetstream { store_dir: /data, domain: hub }
		accounts { SITES { jetstream: enabled, users: [ { user: hub, password: hub }, { user: edge, password: edge, permissions: %s } ] } }
		no_auth_user: hub
		leafnodes { listen: "0.0.0.0:7422" }`, permissions))
	_, s.EdgeURL = site("edge", `
		server_name: edge, jetstream { store_dir: /data, domain: edge }
		leafnodes { reconnect: 100ms, remotes: [ { url: "nats-leaf://edge:edge@hub:7422" } ] }`)
	return s
}

// RestartHub stops the hub, and with it the link, and starts it again.
func (s *Sites) RestartHub(tb testing.TB) {
	tb.Helper()
	restart(tb, s.hub)
}

// Cluster is three servers, each in a container.
type Cluster struct {
	nodes []testcontainers.Container
	urls  []string
}

// NewCluster starts a cluster, ready for streams of three replicas.
func NewCluster(tb testing.TB) *Cluster {
	tb.Helper()
	net := newNetwork(tb)
	c := &Cluster{}
	for i := range 3 {
		port := natstest.FreePort(tb)
		name := fmt.Sprintf("n%d", i)
		c.urls = append(c.urls, fmt.Sprintf("nats://127.0.0.1:%d", port))
		c.nodes = append(c.nodes, run(tb, port, func(r *testcontainers.ContainerRequest) {
			r.Networks, r.NetworkAliases = []string{net}, map[string][]string{net: {name}}
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
	restart(tb, c.nodes[i])
}

func restart(tb testing.TB, c testcontainers.Container) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	grace := 5 * time.Second
	if err := c.Stop(ctx, &grace); err != nil {
		tb.Fatal("containers: stop: ", err)
	}
	if err := c.Start(ctx); err != nil {
		tb.Fatal("containers: start: ", err)
	}
}

func newNetwork(tb testing.TB) string {
	tb.Helper()
	net, err := network.New(context.Background())
	if err != nil {
		tb.Fatal("containers: network: ", err)
	}
	tb.Cleanup(func() { _ = net.Remove(context.Background()) }) // what is left of it is docker's to clean
	return net.Name
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
