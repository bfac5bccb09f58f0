package schema

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Channel is the datatype channel of a type: all that is on it is of that type, in
// one version or another, and what is not is diverted to its invalid message channel.
type Channel[T any] struct {
	t               *Type[T]
	js              jetstream.JetStream
	cfg             Config
	events, invalid jetstream.Stream
}

// Streams returns what the channel of the type called name is made of: SCHEMA_<name>
// on schema.<name>.<key>, and the invalid message channel INVALID_<name> on
// invalid.<name>.<consumer>.<sequence>.<time>.
func Streams(name string, cfg Config) (events, invalid jetstream.StreamConfig, err error) {
	if cfg, err = cfg.normal(); err == nil {
		err = checkID(name)
	}
	events = jetstream.StreamConfig{
		Name: "SCHEMA_" + name, Subjects: []string{"schema." + name + ".*"},
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	invalid = events
	invalid.Name, invalid.Subjects = "INVALID_"+name, []string{"invalid." + name + ".>"}
	return events, invalid, err
}

// NewChannel opens the channel of t, and creates its streams if need be. The context
// bounds this call only.
func NewChannel[T any](ctx context.Context, js jetstream.JetStream, t *Type[T], cfg Config) (*Channel[T], error) {
	if js == nil || t == nil {
		return nil, fmt.Errorf("%w: js or the type is nil", ErrConfig)
	}
	events, invalid, err := Streams(t.name, cfg)
	if err != nil {
		return nil, err
	}
	c := &Channel[T]{t: t, js: js}
	c.cfg, _ = cfg.normal() // Streams has found it good
	open := func(want jetstream.StreamConfig) (jetstream.Stream, error) {
		return ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	}
	if c.events, err = open(events); err == nil {
		c.invalid, err = open(invalid)
	}
	if err != nil {
		return nil, fmt.Errorf("schema: channel %s: %w", t.name, err)
	}
	return c, nil
}

// Provision creates the streams of the type called name, or updates them to cfg.
// Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	events, invalid, err := Streams(name, cfg)
	if js == nil {
		err = fmt.Errorf("%w: js is nil", ErrConfig)
	}
	if err != nil {
		return err
	}
	for _, want := range []jetstream.StreamConfig{events, invalid} {
		if _, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) }); err != nil {
			return fmt.Errorf("schema: provision %s: %w", want.Name, err)
		}
	}
	return nil
}

// Publish stores v, if its schema lets it pass, as an event of key, and returns its
// stream sequence. After an error it may be stored all the same.
func (c *Channel[T]) Publish(ctx context.Context, key string, v T) (uint64, error) {
	return c.publish(ctx, key, v, 0)
}

func (c *Channel[T]) publish(ctx context.Context, key string, v T, corrects uint64) (uint64, error) {
	if err := checkID(key); err != nil {
		return 0, err
	}
	h, data, err := c.t.Encode(v)
	if err != nil {
		return 0, err
	}
	if corrects > 0 {
		h.Set(HeaderCorrects, strconv.FormatUint(corrects, 10))
	}
	m := &nats.Msg{Subject: "schema." + c.t.name + "." + key, Header: h, Data: data}
	ack, err := c.js.PublishMsg(ctx, m)
	if errors.Is(err, nats.ErrMaxPayload) {
		err = fmt.Errorf("%w: %d bytes, the server takes %d; send a reference to the data", err, len(data), c.js.Conn().MaxPayload())
	}
	if err != nil {
		return 0, fmt.Errorf("schema: publish %s of %s: %w", c.t.name, key, err)
	}
	return ack.Sequence, nil
}

// The headers of a message in the invalid message channel, which keeps its own
// headers too, but for instructions to a server (Nats-…) and what it says of itself
// as Invalid-….
const (
	HeaderReason   = "Invalid-Reason"   // the text of ErrSchema, or one of its kind
	HeaderError    = "Invalid-Error"    // in full, the field named
	HeaderSubject  = "Invalid-Subject"  // where it was
	HeaderSequence = "Invalid-Sequence" // in SCHEMA_<name>
	HeaderLeft     = "Invalid-Left"     // "true": too large to copy, so its body was left there
)

// divert stores msg in the invalid message channel: once, as its subject tells whether
// it is there, however much later it comes again.
func (c *Channel[T]) divert(ctx context.Context, consumer string, msg jetstream.Msg, meta *jetstream.MsgMetadata, reason, why error) (err error) {
	subject := fmt.Sprintf("invalid.%s.%s.%d.%d", c.t.name, consumer, meta.Sequence.Stream, meta.Timestamp.UnixNano())
	for _, whole := range []bool{true, false} {
		m := &nats.Msg{Subject: subject, Header: nats.Header{}}
		if whole {
			m.Data = msg.Data()
			for name, values := range msg.Headers() {
				if kind, _, _ := strings.Cut(strings.ToLower(name), "-"); kind != "nats" && kind != "invalid" {
					m.Header[name] = values
				}
			}
		} else {
			m.Header.Set(HeaderLeft, "true")
		}
		m.Header.Set(HeaderReason, strings.TrimPrefix(reason.Error(), "schema: "))
		m.Header.Set(HeaderError, strings.ToValidUTF8(fmt.Sprintf("%.1000s", strings.Join(strings.Fields(why.Error()), " ")), "?"))
		m.Header.Set(HeaderSubject, msg.Subject())
		m.Header.Set(HeaderSequence, strconv.FormatUint(meta.Sequence.Stream, 10))
		try, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		_, err = c.js.PublishMsg(try, m, jetstream.WithExpectLastSequencePerSubject(0))
		cancel()
		var api *jetstream.APIError
		if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			return nil // it is there; 10164 says only that it is on its way, and may not arrive
		}
		if large := errors.Is(err, nats.ErrMaxPayload) || api != nil && (api.ErrorCode == 10054 || api.ErrorCode == 10097); !large {
			break
		}
	}
	return err
}
