// Package link provides connections, in process and over TCP, that a test or demo can
// cut, keep down and delay.
package link

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/natspatterns/catalog/internal/wire"
)

// A Dialer makes in-process connections; a nats-server is one.
type Dialer interface{ InProcessConn() (net.Conn, error) }

// Link carries the connections of one client to its server. Use it with
// nats.InProcessServer or, for a server reached by TCP, with nats.SetCustomDialer.
type Link struct {
	client string
	server Dialer
	rec    *wire.Recorder

	mu    sync.Mutex // guards what follows
	conns map[*conn]bool
	down  bool
	lag   time.Duration
}

// New returns a link for the client of that name. The server is nil if it is reached
// by TCP; rec is nil if nothing is recorded.
func New(client string, server Dialer, rec *wire.Recorder) *Link {
	return &Link{client: client, server: server, rec: rec, conns: map[*conn]bool{}}
}

// InProcessConn makes a connection to the server of New.
func (l *Link) InProcessConn() (net.Conn, error) { return l.dial(l.server.InProcessConn) }

// Dial makes a connection to a server over the network.
func (l *Link) Dial(network, address string) (net.Conn, error) {
	return l.dial(func() (net.Conn, error) { return net.DialTimeout(network, address, 5*time.Second) })
}

func (l *Link) dial(to func() (net.Conn, error)) (net.Conn, error) {
	l.mu.Lock()
	down := l.down
	l.mu.Unlock()
	if down {
		return nil, fmt.Errorf("link: %s is down", l.client)
	}
	nc, err := to()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, link: l, queue: make(chan packet, 4096), done: make(chan struct{})}
	l.mu.Lock()
	l.conns[c] = true
	l.mu.Unlock()
	if l.rec != nil {
		return l.rec.Wrap(l.client, c), nil
	}
	return c, nil
}

// Cut closes the current connections. Data in transit is lost. The client may
// reconnect at once.
func (l *Link) Cut() {
	l.mu.Lock()
	var conns []*conn
	for c := range l.conns {
		conns = append(conns, c)
	}
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
}

// Down is Cut, and refuses new connections until Up.
func (l *Link) Down() { l.set(func() { l.down = true }); l.Cut() }

// Up accepts new connections again after Down.
func (l *Link) Up() { l.set(func() { l.down = false }) }

// Delay delays by d what the client sends from now on, except the handshake of a
// new connection: nats.go holds a lock during the handshake.
func (l *Link) Delay(d time.Duration) { l.set(func() { l.lag = d }) }

func (l *Link) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// conn delays data without blocking the writer, which holds a lock: a fake clock
// stops while a goroutine waits for a lock.
type conn struct {
	net.Conn
	link  *Link
	queue chan packet
	done  chan struct{}
	once  sync.Once
	open  atomic.Bool // the handshake is over

	mu      sync.Mutex // guards what follows
	pending int        // packets in the queue or being written
	carries bool       // carry is running
}

type packet struct {
	due  time.Time
	data []byte
}

func (c *conn) Write(p []byte) (int, error) {
	select {
	case <-c.done:
		return 0, net.ErrClosed
	default:
	}
	c.link.mu.Lock()
	lag := c.link.lag
	c.link.mu.Unlock()
	c.mu.Lock()
	if !c.open.Load() || lag == 0 && c.pending == 0 {
		c.mu.Unlock()
		return c.Conn.Write(p)
	}
	c.pending++
	if !c.carries {
		c.carries = true
		go c.carry() // ends with Close
	}
	c.mu.Unlock()
	select {
	case c.queue <- packet{time.Now().Add(lag), bytes.Clone(p)}:
		return len(p), nil
	case <-c.done:
		return 0, net.ErrClosed
	}
}

// Read detects the end of the handshake, which is the server's first PONG.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.open.Load() && bytes.Contains(p[:n], []byte("PONG\r\n")) {
		c.open.Store(true)
	}
	return n, err
}

// carry writes each packet of the queue when it is due.
func (c *conn) carry() {
	for {
		var p packet
		select {
		case p = <-c.queue:
		case <-c.done:
			return
		}
		select {
		case <-time.After(time.Until(p.due)):
			if _, err := c.Conn.Write(p.data); err != nil {
				return // the reader gets the error too, and closes
			}
			c.mu.Lock()
			c.pending--
			c.mu.Unlock()
		case <-c.done:
			return
		}
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.done) })
	c.link.mu.Lock()
	delete(c.link.conns, c)
	c.link.mu.Unlock()
	return c.Conn.Close()
}
