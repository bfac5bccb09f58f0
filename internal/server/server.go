// Package server embeds nats-servers that can be stopped and started again on the
// same store: one server, or two sites joined by a leaf node connection.
package server

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
)

// Server is an embedded nats-server that can be stopped and started again on the
// same store.
type Server struct {
	opts natsserver.Options

	mu  sync.Mutex // guards what follows
	srv *natsserver.Server
}

// New starts a server. It listens on 127.0.0.1 unless opts name another
// host, and neither logs nor handles signals.
func New(opts natsserver.Options) (*Server, error) {
	s := Prepare(opts)
	return s, s.Start()
}

// Prepare is New without Start: the servers of a cluster wait for each other, so
// they have to be started together.
func Prepare(opts natsserver.Options) *Server {
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
	srv, err := natsserver.NewServer(&opts)
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

// Stop stops the server and waits until it has shut down.
func (s *Server) Stop() {
	srv := s.Server()
	if srv == nil {
		return // it never started
	}
	srv.Shutdown()
	srv.WaitForShutdown()
}

// Server returns the nats-server that Start started last, or nil.
func (s *Server) Server() *natsserver.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.srv
}

// InProcessConn makes an in-process connection.
func (s *Server) InProcessConn() (net.Conn, error) { return s.Server().InProcessConn() }

// ClientURL returns the URL for clients that connect by TCP.
func (s *Server) ClientURL() string { return s.Server().ClientURL() }
