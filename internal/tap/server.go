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
	s := PrepareServer(opts)
	return s, s.Start()
}

// PrepareServer is NewServer without the start: the servers of a cluster wait for
// each other, so they have to be started together.
func PrepareServer(opts server.Options) *Server {
	if opts.Host == "" {
		opts.Host = "127.0.0.1"
	}
	opts.NoLog, opts.NoSigs = true, true
	return &Server{opts: opts}
}

// Start starts the server, or starts it again after Stop, and waits until it
// accepts connections.
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
	if srv == nil {
		return // it never started
	}
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

// ClientURL is where clients reach it by TCP.
func (s *Server) ClientURL() string { return s.Server().ClientURL() }
