package durable

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// place is one of the window. Its nth use is numbered nth*Window + place, so that an
// answer that comes late is not taken for that of the next message.
type place struct {
	n    uint64
	msg  *nats.Msg // nil when no answer is waited for
	sent time.Time
}

func (p *Publisher) admit(i uint64, m *nats.Msg) (n uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return 0, ErrClosed
	case len(p.lost) > 0:
		return 0, fmt.Errorf("%w: that is so of %d sent before; call Flush", ErrUnconfirmed, len(p.lost))
	case p.js.Conn().IsClosed():
		return 0, nats.ErrConnectionClosed
	}
	at := &p.places[i]
	at.n, at.msg, at.sent = at.n+uint64(len(p.places)), m, time.Now()
	if !p.watching {
		p.watching = true
		time.AfterFunc(tryTime, p.sweep)
	}
	return at.n, nil
}

// settle returns the message n, the first time it is asked.
func (p *Publisher) settle(n uint64) (m *nats.Msg) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := &p.places[n%uint64(len(p.places))]; at.n == n {
		m, at.msg = at.msg, nil
	}
	return m
}

func (p *Publisher) answer(msg *nats.Msg) {
	n, err := strconv.ParseUint(msg.Subject[len(p.inbox):], 10, 64)
	if err != nil {
		return
	}
	var ack struct {
		Stream string          `json:"stream"`
		Error  json.RawMessage `json:"error"`
	}
	if json.Unmarshal(msg.Data, &ack) != nil || ack.Stream == "" || ack.Error != nil {
		p.again(n)
	} else if p.settle(n) != nil {
		p.free <- n % uint64(len(p.places))
	}
}

// sweep looks for messages that have had no answer, and comes again when the oldest of
// the others is due.
func (p *Publisher) sweep() {
	p.mu.Lock()
	p.watching = false
	var late []uint64
	next := tryTime
	for _, at := range p.places {
		left := tryTime - time.Since(at.sent)
		switch {
		case at.msg == nil:
		case left <= 0:
			late = append(late, at.n)
		default:
			p.watching, next = true, min(next, left)
		}
	}
	if p.watching {
		time.AfterFunc(next, p.sweep)
	}
	p.mu.Unlock()
	for _, n := range late {
		p.again(n)
	}
}

// again publishes the message n once more, whatever was the matter. It keeps its
// place meanwhile, so there are never more than Window of these.
func (p *Publisher) again(n uint64) {
	m := p.settle(n)
	if m == nil {
		return
	}
	go func() {
		if _, err := publish(p.life, p.js, p.topic, m); err != nil {
			p.mu.Lock()
			p.lost = append(p.lost, Failure{ID: m.Header.Get(jetstream.MsgIDHeader), Msg: m, Err: err})
			p.mu.Unlock()
		}
		p.free <- n % uint64(len(p.places))
	}()
}
