package idempotent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Publisher stores each message once in a stream. It retries until the server replies.
type Publisher struct {
	js     jetstream.JetStream
	stream string
	window time.Duration // in which the stream drops duplicates
}

// NewPublisher returns a publisher for one stream. It refuses a stream without a
// duplicate window (ErrMismatch): a stream with sources has none by default.
func NewPublisher(ctx context.Context, js jetstream.JetStream, stream string) (*Publisher, error) {
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return nil, fmt.Errorf("idempotent: stream %q: %w", stream, err)
	}
	window := s.CachedInfo().Config.Duplicates
	if window == 0 {
		return nil, fmt.Errorf("%w: stream %s has no duplicate window; set Duplicates", ErrMismatch, stream)
	}
	return &Publisher{js, stream, window}, nil
}

// Publish stores msg, unless the window has a message with this ID and subject, and
// returns whether it stored msg. It retries until the server replies, ctx ends, or 90 %
// of the window has passed. Later the server would store a duplicate. If an attempt
// without a reply may have stored msg, Publish returns ErrInDoubt.
func (p *Publisher) Publish(ctx context.Context, id string, msg *nats.Msg) (stored bool, err error) {
	if err := checkArguments(ctx, id, "msg", msg == nil); err != nil {
		return false, err
	}
	nc := p.js.Conn()
	if size, most := int64(len(msg.Data)), nc.MaxPayload(); size > most {
		return false, wrap(id, fmt.Errorf("%w: %d bytes, max_payload is %d; publish a reference to the data", nats.ErrMaxPayload, size, most))
	}
	msg = &nats.Msg{Subject: msg.Subject, Header: maps.Clone(msg.Header), Data: msg.Data}
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header.Set(jetstream.MsgIDHeader, msg.Subject+"/"+id) // the server compares IDs of all subjects
	inDoubt := false
	err = retry(ctx, time.Now().Add(p.window-p.window/10), func(ctx context.Context) error {
		if nc.IsClosed() {
			return nats.ErrConnectionClosed
		}
		if !nc.IsConnected() {
			return nats.ErrDisconnected // nats.go would send msg later, perhaps after the window
		}
		ack, err := p.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(p.stream)) // another stream has another window
		stored = err == nil && !ack.Duplicate
		inDoubt = inDoubt || isTemporary(err) || errors.Is(err, nats.ErrConnectionClosed)
		return err
	})
	if err != nil && inDoubt {
		err = fmt.Errorf("%w: the message may be stored: %w", ErrInDoubt, err)
	}
	return stored, wrap(id, err)
}
