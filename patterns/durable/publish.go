package durable

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// retryTimeout bounds all attempts to publish a message. It is longer than an
	// election in a cluster, and at most half of the duplicate window.
	retryTimeout = 30 * time.Second
	// attemptTimeout bounds the wait for one ack.
	attemptTimeout = 2 * time.Second

	codeStoreFailed     jetstream.ErrorCode = 10077 // JSStreamStoreFailedF: the stream is at MaxBytes, or its disk fails
	codeStreamOffline   jetstream.ErrorCode = 10118 // JSStreamOfflineErr: the server has not loaded the stream yet
	codeIDInProcess     jetstream.ErrorCode = 10158 // JSStreamDuplicateMessageConflict: an earlier attempt is not finished
	codeTooManyRequests jetstream.ErrorCode = 10167 // JSStreamTooManyRequests: too many messages wait to be stored
)

// Publish stores msg as the message id of topic, on durable.<topic>.<id>. The Subject and
// the Nats-* headers of msg are not used. Publish returns nil after the server has
// acknowledged that the message is stored. Without an ack it publishes the message again
// with the same ID, until ctx ends or 30 s have passed. An ID names one content: within
// the duplicate window, another body with the same ID is dropped as a duplicate.
func Publish(ctx context.Context, js jetstream.JetStream, topic, id string, msg *nats.Msg) (*jetstream.PubAck, error) {
	if err := checkID(topic); err != nil {
		return nil, err
	}
	m, err := prepare(topic, id, msg, js.Conn().MaxPayload())
	if err != nil {
		return nil, err
	}
	ack, err := publish(ctx, js, topic, m)
	if err != nil {
		return nil, fmt.Errorf("durable: publish %s: %w", id, err)
	}
	return ack, nil
}

// prepare returns msg as it is published. The server drops a second message with this
// Nats-Msg-Id.
func prepare(topic, id string, msg *nats.Msg, maxPayload int64) (*nats.Msg, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, fmt.Errorf("durable: message %s: %w: nil; publish an empty Msg instead", id, nats.ErrInvalidMsg)
	}
	if size := int64(len(msg.Data)); size > maxPayload {
		return nil, fmt.Errorf("durable: message %s: %w: %d bytes, the server allows %d; publish a reference to the data", id, nats.ErrMaxPayload, size, maxPayload)
	}
	m := &nats.Msg{Subject: "durable." + topic + "." + id, Header: copyHeader(msg.Header, ""), Data: msg.Data}
	m.Header.Set(jetstream.MsgIDHeader, id)
	return m, nil
}

// publish publishes msg until it is acknowledged.
func publish(ctx context.Context, js jetstream.JetStream, topic string, msg *nats.Msg) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, retryTimeout)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		ack, err := publishOnce(ctx, js, msg)
		if err == nil {
			return ack, nil
		}
		if err := permanentError(ctx, js, topic, err); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w, after %w", ErrUnconfirmed, ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

// publishOnce publishes nothing while disconnected: nats.go would send it after the
// reconnect, when the duplicate window may be over.
func publishOnce(ctx context.Context, js jetstream.JetStream, msg *nats.Msg) (*jetstream.PubAck, error) {
	if nc := js.Conn(); !nc.IsConnected() && !nc.IsClosed() {
		return nil, nats.ErrDisconnected
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return js.PublishMsg(ctx, msg)
}

// permanentError returns why another attempt cannot succeed, or nil. An attempt too many
// does no harm, so only errors that are known to last are permanent.
func permanentError(ctx context.Context, js jetstream.JetStream, topic string, err error) error {
	switch apiCode(err) {
	case 0:
	case codeStoreFailed:
		return fmt.Errorf("%w: %w", ErrFull, err)
	case codeNoLeader, codeStreamOffline, codeIDInProcess, codeTooManyRequests:
		return nil
	default:
		return err
	}
	for _, lasting := range []error{nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrMaxPayload, nats.ErrHeadersNotSupported} {
		if errors.Is(err, lasting) {
			return err
		}
	}
	if !errors.Is(err, jetstream.ErrNoStreamResponse) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout) // is there no stream, or only no leader?
	defer cancel()
	if _, err := js.Stream(ctx, streamName(topic)); errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w; call Provision for topic %s", err, topic)
	}
	return nil
}
