package server

import (
	"fmt"
	"path/filepath"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/natspatterns/catalog/internal/link"
)

// Sites is two servers, one per site, each in its own JetStream domain, joined by a
// leaf node connection over Link. They use TCP, so they run on the real clock.
type Sites struct {
	Hub, Edge *Server
	Link      *link.Proxy
}

// NewSites starts the sites "hub" and "edge", which store their data in dir. The
// permissions of edge's user at hub limit what crosses the link. They are in the
// format of a server configuration, as edge sees it: { publish: …, subscribe: … }.
// Empty permissions allow everything.
func NewSites(dir, permissions string) (*Sites, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	if permissions != "" {
		permissions = "permissions: " + permissions
	}
	s := &Sites{}
	s.Hub, err = configured(dir, fmt.Sprintf(`
		server_name: hub, listen: "127.0.0.1:-1"
		jetstream { store_dir: %q, domain: hub }
		accounts { SITES { jetstream: enabled, users: [
			{ user: hub, password: hub }
			{ user: edge, password: edge
			  %s }
		] } }
		no_auth_user: hub
		leafnodes { listen: "127.0.0.1:%d", no_advertise: true }
	`, filepath.Join(dir, "hub"), permissions, port)) // edge would connect to an advertised address, and bypass Link
	if err != nil {
		return nil, err
	}
	if s.Link, err = link.NewProxy(0, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
		s.Hub.Stop()
		return nil, err
	}
	s.Edge, err = configured(dir, fmt.Sprintf(`
		server_name: edge, listen: "127.0.0.1:-1"
		jetstream { store_dir: %q, domain: edge }
		leafnodes { reconnect: 100ms, remotes: [ { url: "nats-leaf://edge:edge@%s" } ] }
	`, filepath.Join(dir, "edge"), s.Link.Addr()))
	if err == nil {
		err = s.Await(1)
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func configured(dir, text string) (*Server, error) {
	var o natsserver.Options
	if err := o.ProcessConfigString(text); err != nil {
		return nil, fmt.Errorf("server: sites in %s: %w", dir, err)
	}
	return New(o)
}

// Await waits until edge has n leaf node connections to hub: 0 after a cut.
func (s *Sites) Await(n int) error {
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s.Edge.Server().NumLeafNodes() == n {
			return nil
		}
	}
	return fmt.Errorf("server: %d leaf node connections from edge to hub after 15s, want %d", s.Edge.Server().NumLeafNodes(), n)
}

// Cut cuts the link, and returns when edge has no leaf node connection.
func (s *Sites) Cut() error {
	s.Link.Down()
	return s.Await(0)
}

// Join restores the link, and returns when edge is connected.
func (s *Sites) Join() error {
	s.Link.Up()
	return s.Await(1)
}

// Stop stops both servers.
func (s *Sites) Stop() {
	if s.Edge != nil {
		s.Edge.Stop()
	}
	_ = s.Link.Close() // the listener is closed either way
	s.Hub.Stop()
}
