package sse

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
)

// Server is an http.Handler that sends the messages of a stream as server-sent events.
// The id of an event is the sequence of its message. Run reads the stream once for all
// clients.
type Server struct {
	cfg     Config
	js      jetstream.JetStream
	name    string
	stream  jetstream.Stream // its reads go to the leader of the stream
	subject string
	route   Route
	ran     atomic.Bool
	life    context.Context // ends with Run
	end     context.CancelFunc
	slots   chan struct{} // holds one for each client that is being served

	mu      sync.Mutex // guards what follows
	last    uint64     // sequence of the last broadcast event
	clients map[*client]struct{}
}

// client is one connection that receives live events. disconnect closes events.
type client struct {
	subject string
	events  chan event
}

// NewServer returns a Server of the messages on subject in a stream. A Route cannot
// select other messages. The context bounds this call only.
func NewServer(ctx context.Context, js jetstream.JetStream, stream, subject string, route Route, cfg Config) (*Server, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	if route == nil {
		return nil, fmt.Errorf("%w: the Route is nil", ErrConfig)
	}
	if !isSubset(subject, ">") {
		return nil, fmt.Errorf("%w: %.80q is not a subject", ErrConfig, subject)
	}
	if err := checkID(stream); err != nil {
		return nil, err
	}
	found, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return nil, fmt.Errorf("sse: serve stream %s: %w", stream, err)
	}
	// A lagging replica would leave a gap. Without AllowDirect, nats.go reads from the leader.
	found.CachedInfo().Config.AllowDirect = false
	s := &Server{cfg: cfg, js: js, name: stream, stream: found, subject: subject, route: route,
		slots: make(chan struct{}, cfg.MaxClients), last: found.CachedInfo().State.LastSeq, clients: map[*client]struct{}{}}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	return s, nil
}

// Run reads the stream until ctx ends, and then returns nil. It returns an error if the
// stream or the connection is gone. Before it returns, it disconnects every client and
// waits for its writes, at most WriteTimeout. A browser reconnects with the ID of its
// last event, to this Server's successor or to any other Server of the stream.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return ErrAlreadyRun
	}
	cons := jetstream.ConsumerConfig{FilterSubject: s.subject, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.lastSequence() + 1}
	err := readOrdered(ctx, s.js, s.cfg.Log, s.name, cons, func(msg jetstream.Msg, meta *jetstream.MsgMetadata) {
		s.broadcast(msg.Subject(), event{meta.Sequence.Stream, encode(meta.Sequence.Stream, msg.Data())})
	})
	s.end()
	s.disconnectAll()
	for range cap(s.slots) { // when Run holds all slots, no client is being served
		s.slots <- struct{}{}
	}
	if err != nil {
		return fmt.Errorf("sse: %w", err)
	}
	return nil
}

// broadcast queues an event for each client that selects it. A client whose queue is
// full is disconnected, and replays what it missed after it reconnected.
func (s *Server) broadcast(subject string, e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = e.seq
	for c := range s.clients {
		if !isSubset(subject, c.subject) {
			continue
		}
		select {
		case c.events <- e:
		default:
			s.cfg.Log.Info("sse: a slow client is disconnected", "subject", c.subject)
			s.disconnect(c)
		}
	}
}

func (s *Server) lastSequence() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// addClient subscribes a client to the events after the sequence last.
func (s *Server) addClient(subject string) (c *client, last uint64) {
	c = &client{subject: subject, events: make(chan event, s.cfg.Buffer)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[c] = struct{}{}
	if s.life.Err() != nil {
		s.disconnect(c)
	}
	return c, s.last
}

func (s *Server) removeClient(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.disconnect(c)
}

func (s *Server) disconnectAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		s.disconnect(c)
	}
}

// disconnect needs s.mu.
func (s *Server) disconnect(c *client) {
	if _, ok := s.clients[c]; ok {
		delete(s.clients, c)
		close(c.events)
	}
}

// isSubset reports whether sub is a subject, and super matches all that sub matches.
func isSubset(sub, super string) bool {
	for {
		a, restA, moreA := strings.Cut(sub, ".")
		b, restB, moreB := strings.Cut(super, ".")
		switch {
		case a == "" || strings.ContainsAny(a, " \t\r\n\x00") || a == ">" && moreA:
			return false // sub is not a subject
		case b == ">":
			if !moreA {
				return true
			}
			sub = restA
			continue // the rest must be a subject
		case a == ">" || a == "*" && b != "*" || b != "*" && a != b || moreA != moreB:
			return false
		case !moreA:
			return true
		}
		sub, super = restA, restB
	}
}
