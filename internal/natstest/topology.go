package natstest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/tap"
)

// Cluster is servers joined by routes, with JetStream replicated among them, on
// the real clock.
type Cluster struct {
	Name    string
	Servers []*tap.Server
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
	server.SetGatewaysSolicitDelay(30 * time.Millisecond) // 1s is for the world, not for a test
	tb.Cleanup(server.ResetGatewaysSolicitDelay)
	both := boot(tb, func() []*Cluster {
		east, west := freePorts(tb, 3), freePorts(tb, 3)
		remotes := []*server.RemoteGatewayOpts{{Name: "EAST", URLs: urls("nats", east)}, {Name: "WEST", URLs: urls("nats", west)}}
		gateway := func(name string, ports []int) func(i int, o *server.Options) {
			return func(i int, o *server.Options) {
				o.Gateway = server.GatewayOpts{Name: name, Host: "127.0.0.1", Port: ports[i], Gateways: remotes}
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
func newCluster(tb testing.TB, name string, routes []int, also func(i int, o *server.Options)) *Cluster {
	c := &Cluster{Name: name, tb: tb}
	for i, port := range routes {
		o := server.Options{
			ServerName: fmt.Sprintf("%s-%d", name, i), Port: FreePort(tb), JetStream: true, StoreDir: tb.TempDir(),
			Cluster: server.ClusterOpts{Name: name, Host: "127.0.0.1", Port: port}, Routes: urls("nats", routes),
		}
		if also != nil {
			also(i, &o)
		}
		c.Servers = append(c.Servers, tap.PrepareServer(o))
	}
	return c
}

// boot starts the clusters that prepare returns, all servers at once, and waits
// until they agree on a leader. Where the first votes are split, servers wait for 4 to
// 9s before they vote again: it is quicker to begin anew.
func boot(tb testing.TB, prepare func() []*Cluster) []*Cluster {
	tb.Helper()
	var err error
	for _, patience := range []time.Duration{2 * time.Second, 2 * time.Second, 4 * time.Second, 20 * time.Second, 20 * time.Second} {
		var all []*tap.Server
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
			err = settled(all, patience)
		}
		for _, c := range clusters {
			if err == nil {
				err = c.places(patience)
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
	tb.Fatal("natstest: no cluster in five tries: ", err)
	return nil
}

// settled waits until a leader of JetStream sees all servers, and they are current.
func settled(all []*tap.Server, d time.Duration) error {
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

// places waits until the cluster finds a place for a stream on all its servers: it
// may take a while longer to see them all online.
func (c *Cluster) places(d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	js, err := jetstream.New(c.Connect("natstest"))
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	cfg := jetstream.StreamConfig{Name: "NATSTEST", Subjects: []string{"natstest"}, Replicas: len(c.Servers), Storage: jetstream.MemoryStorage}
	for {
		try, done := context.WithTimeout(ctx, 2*time.Second)
		_, err := js.CreateStream(try, cfg)
		done()
		if err == nil {
			return js.DeleteStream(ctx, cfg.Name)
		}
		if ctx.Err() != nil {
			return fmt.Errorf("no place for a stream on %d servers: %w", len(c.Servers), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// URL names all servers of the cluster.
func (c *Cluster) URL() string {
	var us []string
	for _, s := range c.Servers {
		us = append(us, s.ClientURL())
	}
	return strings.Join(us, ",")
}

// Connect returns a connection to one of the servers, which survives its end.
func (c *Cluster) Connect(name string, opts ...nats.Option) *nats.Conn {
	c.tb.Helper()
	return connect(c.tb, c.URL(), append([]nats.Option{nats.Name(name)}, opts...)...)
}

// Settled waits until every server of the cluster runs and is current.
func (c *Cluster) Settled() {
	c.tb.Helper()
	if err := settled(c.Servers, 30*time.Second); err != nil {
		c.tb.Fatal("natstest: ", err)
	}
}

// Leader returns the server that leads the stream.
func (c *Cluster) Leader(js jetstream.JetStream, stream string) *tap.Server {
	c.tb.Helper()
	var leader *tap.Server
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
func NewHub(tb testing.TB, also ...func(*server.Options)) *Hub {
	tb.Helper()
	port := FreePort(tb) // fixed, so that a restarted hub is found again
	o := server.Options{
		ServerName: "hub", Port: FreePort(tb), JetStreamDomain: "hub",
		LeafNode: server.LeafNodeOpts{Host: "127.0.0.1", Port: port, NoAdvertise: true}, // a leaf told the address would go round the Link
	}
	for _, f := range also {
		f(&o)
	}
	return &Hub{start(tb, o), port}
}

// Leaf is a server connected to a hub over a Link that can be cut.
type Leaf struct {
	*Server
	Link *tap.Proxy
}

// Leaf starts a leaf node in a JetStream domain of its own, and waits until it is
// connected. Each of also may change its options first.
func (h *Hub) Leaf(domain string, also ...func(*server.Options)) *Leaf {
	h.tb.Helper()
	link, err := tap.NewProxy(0, fmt.Sprintf("127.0.0.1:%d", h.leafPort))
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { _ = link.Close() })
	o := server.Options{
		ServerName: domain, Port: server.RANDOM_PORT, JetStreamDomain: domain,
		LeafNode: server.LeafNodeOpts{
			ReconnectInterval: 100 * time.Millisecond,
			Remotes:           []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: link.Addr()}}}},
		},
	}
	for _, f := range also {
		f(&o)
	}
	leaf := &Leaf{start(h.tb, o), link}
	leaf.Linked(len(o.LeafNode.Remotes))
	return leaf
}

// Linked waits until the leaf has n links to its hub: 0 after a cut.
func (l *Leaf) Linked(n int) {
	l.tb.Helper()
	Eventually(l.tb, 15*time.Second, func(context.Context) error {
		if got := l.Server.Server.Server().NumLeafNodes(); got != n {
			return fmt.Errorf("%d links to the hub, want %d", got, n)
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
