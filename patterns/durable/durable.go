package durable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports a name or an ID that cannot be one token of a subject.
	ErrID = errors.New("durable: bad ID")
	// ErrConfig reports a bad Config field or a nil handler.
	ErrConfig = errors.New("durable: bad config")
	// ErrMismatch reports a stream or consumer with weaker settings.
	ErrMismatch = errors.New("durable: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("durable: Run was already called")
	// ErrPoison is wrapped by a [Handler] if a retry cannot help.
	ErrPoison = errors.New("durable: poison message")
	// ErrUnconfirmed reports a message that is stored or not: no ack arrived. Publish
	// it again with the same ID: within the duplicate window it is stored once.
	ErrUnconfirmed = errors.New("durable: no ack; the message may be stored; publish it again with the same ID")
	// ErrFull reports that the stream cannot store a message: it is at its MaxBytes, or
	// its disk fails. It drops no stored message instead.
	ErrFull = errors.New("durable: the stream is full")
	// ErrClosed reports a Publisher that was closed.
	ErrClosed = errors.New("durable: the publisher is closed")
)

// Handler handles one message at a time, in stream order. If it returns nil, the message
// is acked. After an error, the message is retried after Backoff, before any other one;
// Poll returns the error, too. An error that wraps ErrPoison is logged, and the message is
// terminated: it stays in the stream and is never retried. A panic is an error. Replay acks
// nothing and returns every error.
//
// A handler can receive a message twice. To make its effect happen once, store Message.ID
// with the effect.
type Handler func(ctx context.Context, msg Message) error

// Config tunes a topic, its publishers and its subscribers. The zero Config is ready to
// use.
type Config struct {
	MaxInFlight int           // Publisher: messages that wait for their ack; 1,000 if zero
	AckWait     time.Duration // Subscriber: time without ack or in-progress after which a message is redelivered; 30 s if zero
	Backoff     time.Duration // Subscriber: before a failed message is retried, doubled up to one minute; 1 s if zero
	Grace       time.Duration // Subscriber: for the running handler when Run or Poll stops; 10 s if zero

	Duplicates time.Duration         // duplicate window of the stream; 2 m if zero, at least 1 m
	MaxBytes   int64                 // of the stream, which then refuses messages; unlimited if zero
	Replicas   int                   // of the stream; 1 if zero
	Storage    jetstream.StorageType // of the stream; file if zero
	Bind       bool                  // create nothing: a missing stream or consumer is an error
	Metadata   map[string]string     // of the stream and consumer that New creates
	Log        *slog.Logger          // discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := cmp.Or(
		setDefault("MaxInFlight", &c.MaxInFlight, 1000, 1),
		setDefault("AckWait", &c.AckWait, 30*time.Second, 100*time.Millisecond),
		setDefault("Backoff", &c.Backoff, time.Second, time.Millisecond),
		setDefault("Grace", &c.Grace, 10*time.Second, 1),
		setDefault("Duplicates", &c.Duplicates, 2*time.Minute, 2*retryTimeout),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
	)
	return c, err
}

func streamName(topic string) string { return "DURABLE_" + topic }

// StreamConfig returns the stream DURABLE_<topic>. When it is full, it refuses messages.
// It never drops a message that it has stored.
func StreamConfig(topic string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err = cmp.Or(err, checkID(topic)); err != nil {
		return jetstream.StreamConfig{}, err
	}
	return jetstream.StreamConfig{
		Name: streamName(topic), Subjects: []string{"durable." + topic + ".*"},
		Discard: jetstream.DiscardNew, MaxBytes: cfg.MaxBytes, Duplicates: cfg.Duplicates,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, nil
}

// ConsumerConfig returns the consumer of the subscriber name. MaxAckPending is 1, so that no
// message overtakes one that is retried.
func ConsumerConfig(name string, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	if err = cmp.Or(err, checkID(name)); err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	return jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, MaxDeliver: -1, MaxAckPending: 1,
		Metadata: maps.Clone(cfg.Metadata),
	}, nil
}

// Provision creates the stream of topic and the consumers of its subscribers, or
// strengthens them to cfg.
func Provision(ctx context.Context, js jetstream.JetStream, topic string, subscribers []string, cfg Config) error {
	wantStream, err := StreamConfig(topic, cfg)
	if err != nil {
		return err
	}
	stream, err := provision(ctx, streamOf(js, wantStream.Name), wantStream)
	if err != nil {
		return fmt.Errorf("durable: provision %s: %w", topic, err)
	}
	for _, name := range subscribers {
		want, err := ConsumerConfig(name, cfg)
		if err != nil {
			return err
		}
		if _, err := provision(ctx, consumerOf(stream, name), want, "MaxAckPending"); err != nil {
			return fmt.Errorf("durable: provision %s of %s: %w", name, topic, err)
		}
	}
	return nil
}
