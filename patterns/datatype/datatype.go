package datatype

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("datatype: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("datatype: bad config")
	// ErrMismatch reports a stream or consumer with weaker settings.
	ErrMismatch = errors.New("datatype: exists with other settings; change Config or call Provision")
	// ErrNoMessage reports that there is no such message to correct.
	ErrNoMessage = errors.New("datatype: no such message")
	// ErrInvalid is the reason of a message that the codec cannot decode.
	ErrInvalid = errors.New("datatype: invalid message")
	// ErrPoison is the reason of a message that the handler refuses: its error wraps it.
	ErrPoison = errors.New("datatype: poison message")
)

// Codec encodes and decodes the messages of one type. A *schema.Type is one. A codec
// for Protocol Buffers or Avro is another.
type Codec[T any] interface {
	// Encode returns an error for an invalid value.
	Encode(v T) (nats.Header, []byte, error)
	// Decode returns an error for a message that it cannot read, now or in a retry. A
	// panic is such an error.
	Decode(h nats.Header, data []byte) (T, error)
}

// Config configures a [Channel]. The zero Config is ready to use.
type Config struct {
	Replicas int                   // of both streams; default 1
	Storage  jetstream.StorageType // of both streams; default file
	MaxBytes int64                 // of each stream; a full stream refuses messages; 0 is unlimited
	Bind     bool                  // create nothing: a missing stream is an error
	Metadata map[string]string     // of the streams that are created
	Log      *slog.Logger          // nil discards
}

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(setDefault("Replicas", &c.Replicas, 1, 1, 5), setDefault("MaxBytes", &c.MaxBytes, 0, 0))
	return c, err
}

// MessagesStreamConfig returns the stream DATATYPE_<name>. It stores the messages of
// the type called name on datatype.<name>.<key>.
func MessagesStreamConfig(name string, cfg Config) (jetstream.StreamConfig, error) {
	return streamConfig("DATATYPE_"+name, "datatype."+name+".*", name, cfg)
}

// InvalidStreamConfig returns the stream INVALID_<name>, the invalid message channel,
// on invalid.<name>.<consumer>.<sequence>.<time>.
func InvalidStreamConfig(name string, cfg Config) (jetstream.StreamConfig, error) {
	return streamConfig("INVALID_"+name, "invalid."+name+".>", name, cfg)
}

func streamConfig(stream, subject, name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.StreamConfig{
		Name: stream, Subjects: []string{subject}, Discard: jetstream.DiscardNew, MaxBytes: cfg.MaxBytes,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, errors.Join(checkID(name), err)
}

// exact are the fields of both streams that must be equal.
var exact = []string{
	"AllowDirect", // false: a replica that lags does not have the message that Correct reads
	"DenyDelete",  // false: a message with personal data must be erasable
}

// Provision creates the streams of the type called name, or changes in them what is
// weaker than cfg. Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	_, _, err := openStreams(js, name, cfg, func(want jetstream.StreamConfig) (jetstream.Stream, error) {
		return provision(ctx, streamOf(js, want.Name), want, exact...)
	})
	return err
}

// opener finds, creates or changes a stream.
type opener func(jetstream.StreamConfig) (jetstream.Stream, error)

func openStreams(js jetstream.JetStream, name string, cfg Config, open opener) (messages, invalid jetstream.Stream, err error) {
	wantMessages, err := MessagesStreamConfig(name, cfg)
	if js == nil {
		err = fmt.Errorf("%w: js is nil", ErrConfig)
	}
	if err != nil {
		return nil, nil, err
	}
	wantInvalid, _ := InvalidStreamConfig(name, cfg) // has the same errors
	if messages, err = open(wantMessages); err != nil {
		return nil, nil, fmt.Errorf("datatype: type %s: %w", name, err)
	}
	if invalid, err = open(wantInvalid); err != nil {
		return nil, nil, fmt.Errorf("datatype: type %s: %w", name, err)
	}
	return messages, invalid, nil
}
