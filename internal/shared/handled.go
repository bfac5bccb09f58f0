package shared

import (
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// progress keeps messages in progress while their handlers run. For a fast handler it
// is cheaper than keepInProgress: it has no goroutine, and one timer for all messages.
type progress struct {
	every time.Duration // a third of AckWait
	log   *slog.Logger

	mu       sync.Mutex // guards what follows
	inFlight map[jetstream.Msg]bool
	armed    bool // tick is going to be called
}

func newProgress(ackWait time.Duration, log *slog.Logger) *progress {
	return &progress{every: ackWait / 3, log: log, inFlight: map[jetstream.Msg]bool{}}
}

func (p *progress) start(msg jetstream.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight[msg] = true
	if !p.armed {
		p.armed = true
		time.AfterFunc(p.every, p.tick)
	}
}

func (p *progress) stop(msg jetstream.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.inFlight, msg)
}

func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for msg := range p.inFlight {
		warnIf(p.log, "send in-progress", msg, msg.InProgress())
	}
	p.armed = len(p.inFlight) > 0
	if p.armed {
		time.AfterFunc(p.every, p.tick)
	}
}

var fingerprintSeed = maphash.MakeSeed()

// fingerprint returns a hash of the payload and the headers of msg. It shows whether a
// handler has changed them, and costs less than a copy.
func fingerprint(msg jetstream.Msg) uint64 {
	sum := maphash.Bytes(fingerprintSeed, msg.Data())
	for name, values := range msg.Headers() { // in any order
		h := maphash.String(fingerprintSeed, name)
		for _, v := range values {
			h = 31*h + maphash.String(fingerprintSeed, v)
		}
		sum += h
	}
	return sum
}
