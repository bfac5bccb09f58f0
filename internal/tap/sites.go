package tap

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Sites is two servers of two sites, each in a JetStream domain of its own, joined
// by a leaf node connection over a Link that can be cut. They talk TCP, so they run
// on the real clock.
type Sites struct {
	Hub, Edge *Server
	Link      *Proxy
}

// NewSites starts the sites "hub" and "edge", which keep their data in dir. What
// may cross the link is the permissions of the user by which edge logs in at hub,
// as the text of a server configuration: { publish: …, subscribe: … } as edge sees
// it; everything if empty.
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
	`, filepath.Join(dir, "hub"), permissions, port)) // advertised, the address would lead round the Link
	if err != nil {
		return nil, err
	}
	if s.Link, err = NewProxy(0, fmt.Sprintf("127.0.0.1:%d", port)); err != nil {
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
	var o server.Options
	if err := o.ProcessConfigString(text); err != nil {
		return nil, fmt.Errorf("tap: sites in %s: %w", dir, err)
	}
	return NewServer(o)
}

// Await waits until the edge has n links to the hub: 0 after a cut.
func (s *Sites) Await(n int) error {
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if s.Edge.Server().NumLeafNodes() == n {
			return nil
		}
	}
	return fmt.Errorf("tap: %d links from edge to hub after 15s, want %d", s.Edge.Server().NumLeafNodes(), n)
}

// Cut cuts the link, and returns when both ends have noticed.
func (s *Sites) Cut() error {
	s.Link.Down()
	return s.Await(0)
}

// Join lets the link come back, and waits for it.
func (s *Sites) Join() error {
	s.Link.Up()
	return s.Await(1)
}

// Stop stops both servers.
func (s *Sites) Stop() {
	if s.Edge != nil {
		s.Edge.Stop()
	}
	_ = s.Link.Close() // it has nothing left to carry
	s.Hub.Stop()
}
