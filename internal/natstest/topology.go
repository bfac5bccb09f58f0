package natstest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/link"
	"github.com/natspatterns/catalog/internal/server"
)

// Cluster is servers joined by routes, with JetStream replicated among them, on
// the real clock.
type Cluster struct {
	Name    string
	Servers []*server.Server
	tb      testing.TB
}

// NewCluster starts three servers as one cluster, ready for streams of three
// replicas, which takes half a second most of the time.
func NewCluster(tb testing.TB) *Cluster {
	tb.Helper()
	return boot(tb, func() []*Cluster { return []*Cluster{newCluster(tb, "C1", freePorts(tb, 3), nil)} })[0]
}

// Supercluster is two clusters joined by gateways.
type Supercluster struct{ East, West *Cluster }

// NewSupercluster starts two clusters, called EAST and WEST, of three servers each.
func NewSupercluster(tb testing.TB) *Supercluster {
	tb.Helper()
	natsserver.SetGatewaysSolicitDelay(30 * time.Millisecond) // the default of 1s makes tests slow
	tb.Cleanup(natsserver.ResetGatewaysSolicitDelay)
	both := boot(tb, func() []*Cluster {
		east, west := freePorts(tb, 3), freePorts(tb, 3)
		remotes := []*natsserver.RemoteGatewayOpts{{Name: "EAST", URLs: urls("nats", east)}, {Name: "WEST", URLs: urls("nats", west)}}
		gateway := func(name string, ports []int) func(i int, o *natsserver.Options) {
			return func(i int, o *natsserver.Options) {
				o.Gateway = natsserver.GatewayOpts{Name: name, Host: "127.0.0.1", Port: ports[i], Gateways: remotes}
			}
		}
		return []*Cluster{
			newCluster(tb, "EAST", freePorts(tb, 3), gateway("EAST", east)),
			newCluster(tb, "WEST", freePorts(tb, 3), gateway("WEST", west)),
		}
	})
	return &Supercluster{both[0], both[1]}
}

// newCluster prepares the servers of a cluster, which [boot] starts.
func newCluster(tb testing.TB, name string, routes []int, also func(i int, o *natsserver.Options)) *Cluster {
	c := &Cluster{Name: name, tb: tb}
	for i, port := range routes {
		o := natsserver.Options{
			ServerName: fmt.Sprintf("%s-%d", name, i), Port: FreePort(tb), JetStream: true, StoreDir: tb.TempDir(),
			Cluster: natsserver.ClusterOpts{Name: name, Host: "127.0.0.1", Port: port}, Routes: urls("nats", routes),
		}
		if also != nil {
			also(i, &o)
		}
		c.Servers = append(c.Servers, server.Prepare(o))
	}
	return c
}

// boot starts the clusters that prepare returns, all servers at once, and waits
// until they have a leader. After a split vote, servers wait for 4 to 9s before they
// vote again: it is faster to start new servers.
func boot(tb testing.TB, prepare func() []*Cluster) []*Cluster {
	tb.Helper()
	var err error
	for _, timeout := range []time.Duration{2 * time.Second, 2 * time.Second, 4 * time.Second, 20 * time.Second, 20 * time.Second} {
		var all []*server.Server
		clusters := prepare()
		for _, c := range clusters {
			all = append(all, c.Servers...)
		}
		started := make(chan error)
		for i, s := range all {
			go func() {
				time.Sleep(time.Duration(i%3) * 20 * time.Millisecond) // at once, they reject each other's routes as duplicates
				started <- s.Start()
			}()
		}
		err = nil
		for range all {
			err = errors.Join(err, <-started)
		}
		if err == nil {
			err = waitCurrent(all, timeout)
		}
		for _, c := range clusters {
			if err == nil {
				err = c.waitPlacement(timeout)
			}
		}
		stop := func() {
			for _, s := range all {
				s.Stop()
			}
		}
		if err == nil {
			tb.Cleanup(stop)
			return clusters
		}
		stop()
	}
	tb.Fatal("natstest: no cluster after five attempts: ", err)
	return nil
}

// waitCurrent waits until a JetStream leader sees all servers, and all are current.
func waitCurrent(all []*server.Server, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		leader, current := 0, 0
		for _, s := range all {
			srv := s.Server()
			if srv.JetStreamIsLeader() && len(srv.JetStreamClusterPeers()) == len(all) {
				leader++
			}
			if srv.JetStreamIsCurrent() {
				current++
			}
		}
		if leader == 1 && current == len(all) {
			return nil
		}
	}
	return fmt.Errorf("no leader of %d servers within %v", len(all), d)
}

// waitPlacement waits until the cluster can place a stream on all its servers: after
// the election, the leader needs more time to see all of them online.
func (c *Cluster) waitPlacement(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	js, err := jetstream.New(c.Connect("natstest"))
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	cfg := jetstream.StreamConfig{Name: "NATSTEST", Subjects: []string{"natstest"}, Replicas: len(c.Servers), Storage: jetstream.MemoryStorage}
	for {
		attempt, done := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.CreateStream(attempt, cfg)
		done()
		if err == nil {
			return js.DeleteStream(ctx, cfg.Name)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("cannot place a stream on %d servers: %w", len(c.Servers), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// URL returns the URLs of all servers of the cluster.
func (c *Cluster) URL() string {
	var us []string
	for _, s := range c.Servers {
		us = append(us, s.ClientURL())
	}
	return strings.Join(us, ",")
}

// Connect returns a connection to one of the servers, which reconnects to another.
func (c *Cluster) Connect(name string, opts ...nats.Option) *nats.Conn {
	c.tb.Helper()
	return connect(c.tb, c.URL(), append([]nats.Option{nats.Name(name)}, opts...)...)
}

// WaitCurrent waits until every server of the cluster runs and is current.
func (c *Cluster) WaitCurrent() {
	c.tb.Helper()
	if err := waitCurrent(c.Servers, 30*time.Second); err != nil {
		c.tb.Fatal("natstest: ", err)
	}
}

// Leader returns the server that leads the stream.
func (c *Cluster) Leader(js jetstream.JetStream, stream string) *server.Server {
	c.tb.Helper()
	var leader *server.Server
	Eventually(c.tb, 20*time.Second, func(ctx context.Context) error {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		for _, srv := range c.Servers {
			if ci := s.CachedInfo().Cluster; ci != nil && ci.Leader == srv.Server().Name() {
				leader = srv
				return nil
			}
		}
		return fmt.Errorf("stream %s has no leader", stream)
	})
	return leader
}

// Hub is a server to which leaf nodes connect, in the JetStream domain "hub".
type Hub struct {
	*Server
	leafPort int
}

// NewHub starts a hub. Each of also may change its options first.
func NewHub(tb testing.TB, also ...func(*natsserver.Options)) *Hub {
	tb.Helper()
	port := FreePort(tb) // fixed, so that leaf nodes find a restarted hub
	o := natsserver.Options{
		ServerName: "hub", Port: FreePort(tb), JetStreamDomain: "hub",
		LeafNode: natsserver.LeafNodeOpts{Host: "127.0.0.1", Port: port, NoAdvertise: true}, // a leaf node would connect to an advertised address, and bypass Proxy
	}
	for _, f := range also {
		f(&o)
	}
	return &Hub{start(tb, o), port}
}

// Leaf is a server connected to a hub over Proxy, which can be cut.
type Leaf struct {
	*Server
	Proxy *link.Proxy
}

// Leaf starts a leaf node in a JetStream domain of its own, and waits until it is
// connected. Each of also may change its options first.
func (h *Hub) Leaf(domain string, also ...func(*natsserver.Options)) *Leaf {
	h.tb.Helper()
	proxy, err := link.NewProxy(0, fmt.Sprintf("127.0.0.1:%d", h.leafPort))
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { _ = proxy.Close() })
	o := natsserver.Options{
		ServerName: domain, Port: natsserver.RANDOM_PORT, JetStreamDomain: domain,
		LeafNode: natsserver.LeafNodeOpts{
			ReconnectInterval: 100 * time.Millisecond,
			Remotes:           []*natsserver.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: proxy.Addr()}}}},
		},
	}
	for _, f := range also {
		f(&o)
	}
	leaf := &Leaf{start(h.tb, o), proxy}
	leaf.Linked(len(o.LeafNode.Remotes))
	return leaf
}

// Linked waits until the leaf has n leaf node connections to its hub: 0 after a cut.
func (l *Leaf) Linked(n int) {
	l.tb.Helper()
	Eventually(l.tb, 15*time.Second, func(context.Context) error {
		if got := l.Server.Server.Server().NumLeafNodes(); got != n {
			return fmt.Errorf("%d leaf node connections to the hub, want %d", got, n)
		}
		return nil
	})
}

func urls(scheme string, ports []int) []*url.URL {
	var us []*url.URL
	for _, p := range ports {
		us = append(us, &url.URL{Scheme: scheme, Host: fmt.Sprintf("127.0.0.1:%d", p)})
	}
	return us
}

func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	ports := make([]int, n)
	for i := range ports {
		ports[i] = FreePort(tb)
	}
	return ports
}
