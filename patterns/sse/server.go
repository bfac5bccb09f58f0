package streaming

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Route maps a request to the subject, wildcards allowed, whose messages it is
// told. Its error is answered with 400 and the text.
type Route func(r *http.Request) (subject string, err error)

// Key is the Route for the results of a flow: of the key that the request's path
// value "key" names, or of all keys.
func Key(flow string) Route {
	return func(r *http.Request) (string, error) {
		key := r.PathValue("key")
		if key == "" {
			return "results." + flow + ".*", nil
		}
		return "results." + flow + "." + key, checkID(key)
	}
}

// ServerConfig tunes a Server. The zero ServerConfig is ready to use, by browsers
// on the same machine.
type ServerConfig struct {
	Hosts     []string      // names by which browsers may call it, without port; localhost, 127.0.0.1 and ::1 if empty
	Origins   []string      // other origins whose pages may read, such as https://shop.example
	FromStart bool          // a client that comes without Last-Event-ID is told all that is stored, not only what comes
	Retry     time.Duration // after which a browser comes back, or up to twice that; 2s if zero
	KeepAlive time.Duration // silence after which a comment is sent; 15s if zero
	Buffer    int           // events a client may be behind before it is cut; 256 if zero
	Patience  time.Duration // for a client to take what is written to it; 10s if zero
	Clients   int           // served at once; 10,000 if zero; others are told to come back
	Log       *slog.Logger  // what nobody can be told otherwise; discarded if nil
}

func (c ServerConfig) normal() (ServerConfig, error) {
	err := errors.Join(
		fill("Retry", &c.Retry, 2*time.Second, time.Millisecond), fill("KeepAlive", &c.KeepAlive, 15*time.Second, time.Millisecond),
		fill("Buffer", &c.Buffer, 256, 1), fill("Patience", &c.Patience, 10*time.Second, time.Millisecond), fill("Clients", &c.Clients, 10_000, 1),
	)
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, err
}

// Server tells browsers of the messages of a stream, as server-sent events whose id
// is the sequence in the stream. It reads the stream once, for all of them.
type Server struct {
	cfg     ServerConfig
	js      jetstream.JetStream
	name    string
	subject string
	route   Route
	stored  jetstream.Stream // read at its leader
	ran     atomic.Bool
	life    context.Context // ends with Run
	end     context.CancelFunc
	slots   chan struct{} // one for each request being served

	mu      sync.Mutex // guards what follows
	last    uint64     // the sequence up to which clients have been told
	clients map[*client]struct{}
}

// client is one browser. Its events are closed when it is cut.
type client struct {
	subject string
	events  chan event
}

type event struct {
	seq  uint64
	text []byte
}

// NewServer returns a Server of those messages of a stream whose subject matches
// subject; whatever route says, no others are told. The context bounds this call
// only.
func NewServer(ctx context.Context, js jetstream.JetStream, stream, subject string, route Route, cfg ServerConfig) (*Server, error) {
	cfg, err := cfg.normal()
	if err == nil && route == nil {
		err = fmt.Errorf("%w: the Route is nil", ErrConfig)
	}
	if err == nil && !within(subject, ">") {
		err = fmt.Errorf("%w: %.80q is no subject", ErrConfig, subject)
	}
	if err == nil {
		err = checkID(stream)
	}
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, js: js, name: stream, subject: subject, route: route, slots: make(chan struct{}, cfg.Clients), clients: map[*client]struct{}{}}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	s.stored, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return nil, fmt.Errorf("streaming: serve %s: %w", stream, err)
	}
	// A replica may lag, and what it has not yet would be a gap. Without this field,
	// nats.go asks the leader.
	s.stored.CachedInfo().Config.AllowDirect = false
	s.last = s.stored.CachedInfo().State.LastSeq
	return s, nil
}

// Run reads the stream for the clients, until ctx ends, when it returns nil, or
// until there is nothing to read from. Then every client has been let go; a browser
// comes back, with the id of the last event it has, to whatever Server is there.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return ErrTwice
	}
	cons := jetstream.ConsumerConfig{FilterSubject: s.subject, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: s.told() + 1}
	err := follow(ctx, s.js, s.cfg.Log, s.name, cons, func(msg jetstream.Msg) {
		if meta, err := msg.Metadata(); err != nil {
			s.cfg.Log.Error("streaming: a message without a sequence is not told", "subject", msg.Subject(), "err", err)
		} else {
			s.tell(msg.Subject(), event{meta.Sequence.Stream, encode(meta.Sequence.Stream, msg.Data())})
		}
	})
	s.end()
	s.mu.Lock()
	for c := range s.clients {
		s.cut(c)
	}
	s.mu.Unlock()
	for range cap(s.slots) { // when all slots are taken here, nobody is being served
		s.slots <- struct{}{}
	}
	if err != nil {
		return fmt.Errorf("streaming: %w", err)
	}
	return nil
}

// tell hands an event to those who want it. It waits for nobody: a client that has
// no room for it is cut, and catches up when it comes back.
func (s *Server) tell(subject string, e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = e.seq
	for c := range s.clients {
		if !within(subject, c.subject) {
			continue
		}
		select {
		case c.events <- e:
		default:
			s.cfg.Log.Info("streaming: a slow client is cut", "subject", c.subject)
			s.cut(c)
		}
	}
}

func (s *Server) cut(c *client) { // with s.mu held
	if _, there := s.clients[c]; there {
		delete(s.clients, c)
		close(c.events)
	}
}

// within reports whether every subject that matches sub matches super as well. A
// subject without wildcards is within what it matches.
func within(sub, super string) bool {
	for {
		a, restA, moreA := strings.Cut(sub, ".")
		b, restB, moreB := strings.Cut(super, ".")
		switch {
		case a == "" || strings.ContainsAny(a, " \t\r\n\x00") || a == ">" && moreA:
			return false // no subject
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
