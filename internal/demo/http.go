package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"

	"github.com/natspatterns/catalog/internal/link"
)

// door is where an HTTP server of the play is reached.
type door struct {
	addr string                   // of a real one
	dial func() (net.Conn, error) // to one in memory
}

// Listen opens the door called name. Clients of the play reach it as http://name;
// a person reaches it at URL(name).
func (e *Env) Listen(name string) (net.Listener, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stage.Memory {
		l := link.NewListener()
		e.doors[name] = &door{dial: l.Dial}
		return l, nil
	}
	addr := "127.0.0.1:0"
	if d := e.doors[name]; d != nil {
		addr = d.addr // it opens again where it was
	}
	if name == e.play.Door && e.stage.Serve != "" {
		addr = e.stage.Serve
	}
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is taken; choose another address with -http", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	e.doors[name] = &door{addr: l.Addr().String()}
	return l, nil
}

// URL is where a person reaches the door called name.
func (e *Env) URL(name string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.doors[name]; d != nil && d.addr != "" {
		return "http://" + d.addr
	}
	return "http://" + name
}

// Dial connects to the door called name.
func (e *Env) Dial(ctx context.Context, name string) (net.Conn, error) {
	e.mu.Lock()
	d := e.doors[name]
	e.mu.Unlock()
	switch {
	case d == nil:
		return nil, fmt.Errorf("no %s is open yet", name)
	case d.dial != nil:
		return d.dial()
	}
	return new(net.Dialer).DialContext(ctx, "tcp", d.addr)
}

// Client returns an HTTP client that reaches the doors of the play by name.
func (e *Env) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			name, _, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			return e.Dial(ctx, name)
		},
	}}
}
