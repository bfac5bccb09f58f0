package tap

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy is a TCP link that can be cut: it stands between two servers, where no
// in-process line reaches.
type Proxy struct {
	listener net.Listener
	to       string
	carrying sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]bool
	down   bool
	closed bool
}

// NewProxy listens on a port of 127.0.0.1 (0: a free one) and passes connections
// on to the address to.
func NewProxy(port int, to string) (*Proxy, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("tap: proxy to %s: %w", to, err)
	}
	p := &Proxy{listener: l, to: to, conns: map[net.Conn]bool{}}
	p.carrying.Go(p.accept)
	return p, nil
}

// Addr is where it listens, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.carrying.Go(func() { p.connect(from) })
	}
}

func (p *Proxy) connect(from net.Conn) {
	defer from.Close()
	if !p.keep(from) {
		return
	}
	defer p.forget(from)
	to, err := net.DialTimeout("tcp", p.to, 2*time.Second)
	if err != nil {
		return // as if nobody listened
	}
	defer to.Close()
	if !p.keep(to) {
		return
	}
	defer p.forget(to)
	var both sync.WaitGroup
	carry := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src) // however it ends, the link is over
		_ = dst.Close()
		_ = src.Close()
	}
	both.Go(func() { carry(to, from) })
	both.Go(func() { carry(from, to) })
	both.Wait()
}

// keep remembers c, to cut it, unless the link is down.
func (p *Proxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || p.closed {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) forget(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// Down ends the connections there are, and lets none be made until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// Up lets connections be made again.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// Close ends the link for good, and returns when nothing of it runs any more.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.carrying.Wait()
	return err
}
