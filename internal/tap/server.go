package tap

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Server is an embedded nats-server that can be stopped and started again on the
// same store.
type Server struct {
	opts server.Options

	mu  sync.Mutex // guards what follows
	srv *server.Server
}

// NewServer starts a server. It listens on 127.0.0.1 unless opts name another
// host, and neither logs nor takes the process's signals.
func NewServer(opts server.Options) (*Server, error) {
	if opts.Host == "" {
		opts.Host = "127.0.0.1"
	}
	opts.NoLog, opts.NoSigs = true, true
	s := &Server{opts: opts}
	return s, s.Start()
}

// Start starts the server again after Stop.
func (s *Server) Start() error {
	opts := s.opts // a server writes into its options, so it gets a copy
	srv, err := server.NewServer(&opts)
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	go srv.Start() // returns once the server serves
	if !srv.ReadyForConnections(10 * time.Second) {
		srv.Shutdown()
		srv.WaitForShutdown()
		return errors.New("nats-server: not ready within 10s")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.srv = srv
	return nil
}

// Stop stops the server and waits until it is gone.
func (s *Server) Stop() {
	srv := s.Server()
	srv.Shutdown()
	srv.WaitForShutdown()
}

// Server returns the server of now.
func (s *Server) Server() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.srv
}

// InProcessConn makes a connection without a network.
func (s *Server) InProcessConn() (net.Conn, error) { return s.Server().InProcessConn() }
