// Package tap stands on the wire between named participants and a NATS server.
// It reads the client protocol as it passes, tells what it meant, and does to the
// wire what the world does: it cuts it, holds it down and slows it. The code
// observed is neither changed nor aware of it.
package tap

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
	Pub   Op = "PUB"   // a participant sends a message; HPUB too
	Msg   Op = "MSG"   // the server delivers one; HMSG too
	Sub   Op = "SUB"   // a participant subscribes
	Unsub Op = "UNSUB" // a participant unsubscribes
	Blind Op = "BLIND" // these bytes are not the protocol, so nothing more is read here; Data says why
)

// Event is one frame that crossed the wire.
type Event struct {
	At      time.Time
	Who     string      // the participant
	Conn    int         // which of all the recorder's connections
	Op      Op          //
	Subject string      //
	Queue   string      // of a Sub
	Sid     string      // of a Msg, Sub or Unsub: which subscription of this connection
	Reply   string      // where an answer is expected
	Header  nats.Header //
	Data    string      // the payload
}

// Recorder collects Events from any number of connections.
type Recorder struct {
	mu     sync.Mutex
	conns  int
	events []Event
	listen func(Event)
}

// Events returns what was recorded so far.
func (r *Recorder) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// Listen has f called with each Event as it happens, one at a time, instead of
// keeping it: a process without an end must not keep everything it sees.
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

// wrap records what crosses c as who's.
func (r *Recorder) wrap(who string, c net.Conn) net.Conn {
	r.mu.Lock()
	r.conns++
	n := r.conns
	r.mu.Unlock()
	emit := func(e Event) {
		e.Who, e.Conn = who, n
		r.add(e)
	}
	return &tapped{Conn: c, out: parser{emit: emit}, in: parser{emit: emit}}
}

type tapped struct {
	net.Conn
	out, in parser
}

func (c *tapped) Write(p []byte) (int, error) {
	c.out.feed(p) // before the server can react to it
	return c.Conn.Write(p)
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.feed(p[:n])
	return n, err
}
