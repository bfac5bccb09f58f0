package durable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const tryTime = 2 * time.Second // how long one try waits for its answer

// Publish stores msg as message id of topic, on durable.<topic>.<id>; the Subject of
// msg is not used. It returns nil only once the server has said that the message
// is stored, and until ctx ends or [Patience] is over, it publishes it again
// under the same id: through lost answers, cut lines, restarts and elections. An id
// names one content: the same id with another body is taken for a repetition.
func Publish(ctx context.Context, js jetstream.JetStream, topic, id string, msg *nats.Msg) (*jetstream.PubAck, error) {
	if err := checkID(topic); err != nil {
		return nil, err
	}
	m, err := encode(topic, id, msg, js.Conn().MaxPayload())
	if err != nil {
		return nil, err
	}
	var ack *jetstream.PubAck
	if err = ctx.Err(); err == nil {
		ack, err = publish(ctx, js, topic, m)
	}
	if err != nil {
		return nil, fmt.Errorf("durable: publish %s: %w", id, err)
	}
	return ack, nil
}

func publish(ctx context.Context, js jetstream.JetStream, topic string, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := nats.ErrDisconnected
		if nc := js.Conn(); nc.IsConnected() || nc.IsClosed() { // or it would be sent later, perhaps after the window
			try, done := context.WithTimeout(ctx, tryTime)
			var ack *jetstream.PubAck
			ack, err = js.PublishMsg(try, msg)
			done()
			if err == nil {
				return ack, nil
			}
		}
		if err := hopeless(ctx, js, topic, err); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w, after %w", ErrUnconfirmed, ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// hopeless returns why there is no use in trying again, or nil. As a repetition
// does no harm, only what is known to last is hopeless.
func hopeless(ctx context.Context, js jetstream.JetStream, topic string, err error) error {
	var api *jetstream.APIError
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse): // no leader for now, or no stream?
		ctx, cancel := context.WithTimeout(ctx, tryTime)
		defer cancel()
		if _, gone := js.Stream(ctx, "DURABLE_"+topic); errors.Is(gone, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("%w: there is no topic %s; call Provision, or NewSubscriber first", gone, topic)
		}
	case errors.As(err, &api):
		switch api.ErrorCode {
		case 10077:
			return fmt.Errorf("%w: %w", ErrFull, err)
		case 10158, // this id is in process: our own earlier try, whose outcome is open
			10008, 10118: // no leader, or the stream is not up yet
		default:
			if api.Code != 429 { // too much at once passes
				return err
			}
		}
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining),
		errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrHeadersNotSupported):
		return err
	}
	return nil
}
