// Package wire records the NATS client protocol on connections, describes each
// frame in words, and draws the recording as a Mermaid sequence diagram.
package wire

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Op is what a protocol frame does.
type Op string

const (
	Pub   Op = "PUB"   // the client publishes a message; HPUB too
	Msg   Op = "MSG"   // the server delivers a message; HMSG too
	Sub   Op = "SUB"   // the client subscribes
	Unsub Op = "UNSUB" // the client unsubscribes
	Blind Op = "BLIND" // the bytes are not the protocol, so this direction is no longer parsed; Data is the reason
)

// Event is one protocol frame that a client sent or received.
type Event struct {
	At      time.Time
	Client  string // the name of the client
	Conn    int    // the number of the connection within its Recorder
	Op      Op
	Subject string
	Queue   string // of a Sub
	Sid     string // of a Msg, Sub or Unsub: the subscription within the connection
	Reply   string // the reply subject
	Header  nats.Header
	Data    string // the payload
}

// Recorder collects Events from any number of connections.
type Recorder struct {
	mu     sync.Mutex
	conns  int
	events []Event
	listen func(Event)
}

// Events returns the events recorded so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Listen calls f with each Event as it happens, one at a time, instead of storing
// it: in a process that runs for ever, stored events would fill the memory.
func (r *Recorder) Listen(f func(Event)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.listen = f
}

func (r *Recorder) add(e Event) {
	e.At = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.listen != nil {
		r.listen(e)
		return
	}
	r.events = append(r.events, e)
}

// Wrap returns c with every frame recorded under the name of the client.
func (r *Recorder) Wrap(client string, c net.Conn) net.Conn {
	r.mu.Lock()
	r.conns++
	n := r.conns
	r.mu.Unlock()
	emit := func(e Event) {
		e.Client, e.Conn = client, n
		r.add(e)
	}
	return &recorded{Conn: c, out: parser{emit: emit}, in: parser{emit: emit}}
}

type recorded struct {
	net.Conn
	out, in parser
}

func (c *recorded) Write(p []byte) (int, error) {
	c.out.feed(p) // before the server can react to it
	return c.Conn.Write(p)
}

func (c *recorded) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.feed(p[:n])
	return n, err
}
