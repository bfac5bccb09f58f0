package link

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy is a TCP proxy that can be cut. It links two servers, which do not connect to
// each other in process.
type Proxy struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  map[net.Conn]bool
	down   bool
	closed bool
}

// NewProxy listens on a port of 127.0.0.1 (0: a free one) and forwards connections
// to the address to.
func NewProxy(port int, to string) (*Proxy, error) {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, fmt.Errorf("link: proxy to %s: %w", to, err)
	}
	p := &Proxy{listener: l, to: to, conns: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr is the address it listens on, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

func (p *Proxy) accept() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.running.Go(func() { p.connect(from) })
	}
}

func (p *Proxy) connect(from net.Conn) {
	defer from.Close()
	if !p.add(from) {
		return
	}
	defer p.remove(from)
	to, err := net.DialTimeout("tcp", p.to, 2*time.Second)
	if err != nil {
		return // the caller sees a closed connection
	}
	defer to.Close()
	if !p.add(to) {
		return
	}
	defer p.remove(to)
	var both sync.WaitGroup
	forward := func(dst, src net.Conn) {
		_, _ = io.Copy(dst, src) // any end of one direction ends both
		_ = dst.Close()
		_ = src.Close()
	}
	both.Go(func() { forward(to, from) })
	both.Go(func() { forward(from, to) })
	both.Wait()
}

// add adds c to the connections that Down closes. It returns false if the proxy is down.
func (p *Proxy) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.down || p.closed {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) remove(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// Down closes the current connections and refuses new ones until Up.
func (p *Proxy) Down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
}

// Up accepts new connections again after Down.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// Close closes the proxy and returns when all its goroutines have ended.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	err := p.listener.Close()
	p.running.Wait()
	return err
}
