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

const (
	try   = 2 * time.Second        // how long an answer is waited for
	pause = 100 * time.Millisecond // before the next try
)

// Publisher stores each message once, however often it has to be sent until the
// server's answer is heard.
type Publisher struct {
	js     jetstream.JetStream
	stream string
	window time.Duration
	limit  int64
}

// NewPublisher returns a publisher into the stream, and no other, whose window it finds there.
// A stream with sources has none unless it was set, and is refused (ErrMismatch).
func NewPublisher(ctx context.Context, js jetstream.JetStream, stream string) (*Publisher, error) {
	s, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return nil, fmt.Errorf("idempotent: stream %q: %w", stream, err)
	}
	p := &Publisher{js, stream, s.CachedInfo().Config.Duplicates, js.Conn().MaxPayload()}
	if p.window == 0 {
		return nil, fmt.Errorf("%w: stream %s has no Duplicates window", ErrMismatch, stream)
	}
	return p, nil
}

// Publish stores msg, unless it was stored under this id and subject within the
// window before, and returns whether it was stored now. It tries until an answer
// comes, ctx ends, or the window is nearly over: past that a server would take the
// message for another. If it may have been stored by then, that is ErrInDoubt.
func (p *Publisher) Publish(ctx context.Context, id string, msg *nats.Msg) (done bool, err error) {
	if err := needs(ctx, id, msg != nil); err != nil {
		return false, err
	}
	if n := int64(len(msg.Data)); n > p.limit {
		return false, failed(id, fmt.Errorf("%w: %d bytes, the server takes %d; send a reference to the data", nats.ErrMaxPayload, n, p.limit))
	}
	msg = &nats.Msg{Subject: msg.Subject, Header: maps.Clone(msg.Header), Data: msg.Data}
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header.Set(jetstream.MsgIDHeader, msg.Subject+"/"+id) // the server compares ids whatever the subject
	end := time.Now().Add(p.window - p.window/10)
	for sent := false; ; {
		err = nats.ErrDisconnected
		if nc := p.js.Conn(); nc.IsClosed() {
			err = nats.ErrConnectionClosed
		} else if nc.IsConnected() { // otherwise it would be sent later, perhaps after the window
			sent = true
			var ack *jetstream.PubAck
			if ack, err = p.send(ctx, msg); err == nil {
				return !ack.Duplicate, nil
			}
		}
		switch {
		case !unsettled(err):
			return false, failed(id, err)
		case ctx.Err() != nil || time.Now().After(end):
			if sent {
				err = fmt.Errorf("%w: it may be stored: %w", ErrInDoubt, err)
			}
			return false, failed(id, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (p *Publisher) send(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, try)
	defer cancel()
	return p.js.PublishMsg(ctx, msg, jetstream.WithExpectStream(p.stream)) // another's window is another
}

// unsettled reports whether an error leaves it open what became of a request.
func unsettled(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.ErrorCode == 10158 || api.ErrorCode == 10008 // its id is in process; no leader
	}
	for _, e := range []error{context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrDisconnected, jetstream.ErrNoStreamResponse, nats.ErrNoResponders} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
