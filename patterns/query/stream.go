package query

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// stream sends a result to one client.
type stream struct {
	nc          *nats.Conn
	to          string
	idleTimeout time.Duration
	credits     chan struct{} // an element for each chunk that may be sent
	sub         *nats.Subscription

	chunk        []byte // a JSON array without its end
	inChunk      int    // rows
	chunks, rows int    // that were sent
}

// newStream subscribes to the requests of a client. It calls cancel if the client
// cancels, or if the server has replied to a message that nobody is subscribed.
func newStream(nc *nats.Conn, to string, cfg Config, cancel func()) (*stream, error) {
	s := &stream{nc: nc, to: to, idleTimeout: cfg.IdleTimeout, credits: make(chan struct{}, cfg.Prefetch)}
	for range cfg.Prefetch {
		s.credits <- struct{}{}
	}
	var err error
	s.sub, err = nc.Subscribe(nc.NewInbox(), func(m *nats.Msg) {
		if m.Header.Get("Status") != "" || string(m.Data) == cancelled {
			cancel()
			return
		}
		select {
		case s.credits <- struct{}{}:
		default: // a forged request
		}
	})
	return s, err
}

// beat sends a message each second until ctx ends: the client sees that the reader is
// alive, and the reader that the client is.
func (s *stream) beat(ctx context.Context) {
	tick := time.NewTicker(beatInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = s.nc.PublishRequest(s.to, s.sub.Subject, nil) // fails only if the connection is closed
		}
	}
}

// add adds a row, and sends a chunk when it is full.
func (s *stream) add(ctx context.Context, row []byte) error {
	maxChunk := int(s.nc.MaxPayload()) - 1024 // the rest is for headers
	if len(row)+2 > maxChunk {
		return &Error{"500", fmt.Sprintf("a row of %d bytes does not fit into a message", len(row))}
	}
	if s.inChunk > 0 && len(s.chunk)+len(row)+2 > min(chunkSize, maxChunk) {
		if err := s.send(ctx, false); err != nil {
			return err
		}
	}
	separator := byte(',')
	if s.inChunk == 0 {
		separator = '['
	}
	s.chunk = append(append(s.chunk, separator), row...)
	s.inChunk++
	return nil
}

// send sends the chunk when the client has requested it.
func (s *stream) send(ctx context.Context, last bool) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-s.credits:
	case <-time.After(s.idleTimeout):
		return &Error{"408", fmt.Sprintf("the client requested no chunk for %v", s.idleTimeout)}
	}
	s.rows += s.inChunk
	msg := &nats.Msg{Subject: s.to, Reply: s.sub.Subject, Header: nats.Header{HeaderChunk: {strconv.Itoa(s.chunks)}}}
	if s.inChunk > 0 {
		msg.Data = append(s.chunk, ']')
	}
	if last {
		msg.Reply = ""
		msg.Header.Set(HeaderRows, strconv.Itoa(s.rows))
	}
	s.chunk, s.inChunk, s.chunks = s.chunk[:0], 0, s.chunks+1
	return s.nc.PublishMsg(msg)
}
