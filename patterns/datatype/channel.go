package datatype

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// HeaderCorrects is the stream sequence of the message that a message replaces.
const HeaderCorrects = "Datatype-Corrects"

// Channel is the datatype channel of one type: all its messages are of that type. A
// consumer diverts other messages to its invalid message channel.
type Channel[T any] struct {
	name, prefix      string // the prefix of its subjects
	codec             Codec[T]
	js                jetstream.JetStream
	cfg               Config
	messages, invalid jetstream.Stream
}

// NewChannel returns the channel of the type called name, and creates its streams if
// they do not exist.
func NewChannel[T any](ctx context.Context, js jetstream.JetStream, name string, codec Codec[T], cfg Config) (*Channel[T], error) {
	if codec == nil {
		return nil, fmt.Errorf("%w: the codec is nil", ErrConfig)
	}
	messages, invalid, err := openStreams(js, name, cfg, func(want jetstream.StreamConfig) (jetstream.Stream, error) {
		return ensure(ctx, streamOf(js, want.Name), want, cfg.Bind, exact...)
	})
	if err != nil {
		return nil, err
	}
	cfg, _ = cfg.normal() // openStreams has checked it
	return &Channel[T]{name, "datatype." + name + ".", codec, js, cfg, messages, invalid}, nil
}

// Publish stores v as a message of key, if the codec accepts v, and returns the stream
// sequence. After an error the message can be stored nevertheless.
func (c *Channel[T]) Publish(ctx context.Context, key string, v T) (uint64, error) {
	return c.publish(ctx, key, v, 0)
}

// Correct publishes a message that replaces the message of key at sequence. Both are
// stored; each reader must handle [Message].Corrects. After an error the message can
// be stored nevertheless, so after a retry two messages correct one.
func (c *Channel[T]) Correct(ctx context.Context, key string, sequence uint64, v T) (uint64, error) {
	old, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return c.messages.GetMsg(ctx, sequence) })
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && old.Subject != c.prefix+key {
		return 0, fmt.Errorf("%w: sequence %d, key %.80q", ErrNoMessage, sequence, key)
	}
	if err != nil {
		return 0, fmt.Errorf("datatype: correct %d of %s: %w", sequence, c.name, err)
	}
	return c.publish(ctx, key, v, sequence)
}

func (c *Channel[T]) publish(ctx context.Context, key string, v T, corrects uint64) (uint64, error) {
	if err := checkID(key); err != nil {
		return 0, err
	}
	header, data, err := c.codec.Encode(v)
	if err != nil {
		return 0, err
	}
	h := nats.Header{} // the codec's can be nil, or shared by messages
	maps.Copy(h, header)
	if corrects > 0 {
		h.Set(HeaderCorrects, strconv.FormatUint(corrects, 10))
	}
	ack, err := c.js.PublishMsg(ctx, &nats.Msg{Subject: c.prefix + key, Header: h, Data: data})
	if errors.Is(err, nats.ErrMaxPayload) {
		err = fmt.Errorf("%w: the payload has %d bytes, the server accepts %d; publish a reference to the data", err, len(data), c.js.Conn().MaxPayload())
	}
	if err != nil {
		return 0, fmt.Errorf("datatype: publish %s of %s: %w", c.name, key, err)
	}
	return ack.Sequence, nil
}
