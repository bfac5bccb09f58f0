package tap

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Dialer makes in-process connections; a nats-server is one.
type Dialer interface{ InProcessConn() (net.Conn, error) }

// Line is what lies between one participant and its server. It passes what it is
// given until told otherwise. Use it with nats.InProcessServer or, for a server
// elsewhere, with nats.SetCustomDialer.
type Line struct {
	who    string
	server Dialer
	rec    *Recorder

	mu    sync.Mutex // guards what follows
	conns map[*conn]bool
	down  bool
	lag   time.Duration
}

// NewLine returns a line for the participant who. The server is nil if it is
// reached by TCP; rec is nil if nothing is to be recorded.
func NewLine(who string, server Dialer, rec *Recorder) *Line {
	return &Line{who: who, server: server, rec: rec, conns: map[*conn]bool{}}
}

// InProcessConn makes a connection to the line's own server.
func (l *Line) InProcessConn() (net.Conn, error) { return l.dial(l.server.InProcessConn) }

// Dial makes a connection to a server elsewhere.
func (l *Line) Dial(network, address string) (net.Conn, error) {
	return l.dial(func() (net.Conn, error) { return net.DialTimeout(network, address, 5*time.Second) })
}

func (l *Line) dial(to func() (net.Conn, error)) (net.Conn, error) {
	l.mu.Lock()
	down := l.down
	l.mu.Unlock()
	if down {
		return nil, fmt.Errorf("tap: the line of %s is down", l.who)
	}
	nc, err := to()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, line: l, queue: make(chan packet, 4096), done: make(chan struct{})}
	l.mu.Lock()
	l.conns[c] = true
	l.mu.Unlock()
	if l.rec != nil {
		return l.rec.wrap(l.who, c), nil
	}
	return c, nil
}

// Cut ends the connections there are, with no goodbye, and what was on the way is
// lost; the participant may connect anew at once.
func (l *Line) Cut() {
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

// Down is Cut, with no new connection until Up.
func (l *Line) Down() { l.set(func() { l.down = true }); l.Cut() }

// Up lets the participant connect again.
func (l *Line) Up() { l.set(func() { l.down = false }) }

// Delay makes whatever the participant sends from now on take d to arrive, but
// for the handshake of a new connection: during that, nats.go holds a lock.
func (l *Line) Delay(d time.Duration) { l.set(func() { l.lag = d }) }

func (l *Line) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// conn delivers late without holding up the writer, who has a lock: a fake clock
// stands still while anyone waits for a lock.
type conn struct {
	net.Conn
	line  *Line
	queue chan packet
	done  chan struct{}
	once  sync.Once
	open  atomic.Bool // the handshake is over

	mu      sync.Mutex // guards what follows
	pending int        // packets in the queue or being carried
	carries bool       // carry runs
}

type packet struct {
	due  time.Time
	data []byte
}

func (c *conn) Write(p []byte) (int, error) {
	c.line.mu.Lock()
	lag := c.line.lag
	c.line.mu.Unlock()
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

// Read notices the end of the handshake, which is the server's first PONG.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.open.Load() && bytes.Contains(p[:n], []byte("PONG\r\n")) {
		c.open.Store(true)
	}
	return n, err
}

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
				return // whoever reads learns it too, and closes
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
	c.line.mu.Lock()
	delete(c.line.conns, c)
	c.line.mu.Unlock()
	return c.Conn.Close()
}
