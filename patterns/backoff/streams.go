package backoff

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// StreamConfig returns the stream of a queue. It keeps one message per subject: a
// message that returns from a schedule replaces the original, if the worker that
// scheduled it crashed before the ack.
func StreamConfig(queue string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal(queue)
	return jetstream.StreamConfig{
		Name: "BACKOFF_" + queue, Subjects: []string{subject(queue, "do", "*"), subject(queue, "later", "*"), subject(queue, "failed", "*")},
		Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1, AllowMsgSchedules: true, Duplicates: 2 * time.Minute,
		MaxBytes: cfg.MaxBytes, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

// ConsumerConfig returns the consumer that the workers of a queue share. It has no
// MaxDeliver: the server never redelivers a message above it, and keeps it. It has no
// BackOff: a nak ignores it.
func ConsumerConfig(queue string, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal(queue)
	return jetstream.ConsumerConfig{
		Durable: "workers", FilterSubject: subject(queue, "do", "*"), AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * cfg.Timeout,
		MaxDeliver: -1, MaxAckPending: cfg.MaxAckPending, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

func subject(queue, kind, id string) string { return "backoff." + queue + "." + kind + "." + id }

func setup(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (jetstream.Stream, jetstream.Consumer, error) {
	stream, _ := StreamConfig(queue, cfg) // the caller has checked cfg
	consumer, _ := ConsumerConfig(queue, cfg)
	s, err := ensure(ctx, streamOf(js, stream.Name), stream, cfg.Bind)
	if err != nil {
		return nil, nil, err
	}
	c, err := ensure(ctx, consumerOf(s, consumer.Durable), consumer, cfg.Bind)
	return s, c, err
}

// Provision creates the stream and the consumer of a queue, or changes the settings
// that are weaker than cfg asks for.
func Provision(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) error {
	stream, err := StreamConfig(queue, cfg)
	if err != nil {
		return err
	}
	consumer, _ := ConsumerConfig(queue, cfg) // it checks the same
	s, err := provision(ctx, streamOf(js, stream.Name), stream)
	if err != nil {
		return fmt.Errorf("backoff: provision %s: %w", queue, err)
	}
	if _, err := provision(ctx, consumerOf(s, consumer.Durable), consumer); err != nil {
		return fmt.Errorf("backoff: provision %s: %w", queue, err)
	}
	return nil
}
