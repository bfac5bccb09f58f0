package backoff

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stream returns the stream of a queue. There is one message a subject, so that what
// comes back from a long wait takes the place of the message it was, if a worker that
// put it away died before it could say so.
func Stream(queue string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(queue)
	}
	return jetstream.StreamConfig{
		Name: "BACKOFF_" + queue, Subjects: []string{subject(queue, "do", "*"), subject(queue, "later", "*"), subject(queue, "failed", "*")},
		Retention: jetstream.WorkQueuePolicy, MaxMsgsPerSubject: 1, AllowMsgSchedules: true, Duplicates: 2 * time.Minute,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

// Consumer returns the consumer that the workers of a queue share.
func Consumer(queue string, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(queue)
	}
	return jetstream.ConsumerConfig{
		Durable: "workers", FilterSubject: subject(queue, "do", "*"), AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * cfg.Timeout,
		MaxDeliver: -1, MaxAckPending: cfg.MaxAckPending, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

func subject(queue, what, id string) string { return "backoff." + queue + "." + what + "." + id }

func setup(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (jetstream.Stream, jetstream.Consumer, error) {
	want, err := Stream(queue, cfg)
	if err != nil {
		return nil, nil, err
	}
	workers, err := Consumer(queue, cfg)
	if err != nil {
		return nil, nil, err
	}
	s, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, nil, err
	}
	c, err := ensure(ctx, consumerOf(s, workers.Durable), workers, cfg.Bind)
	return s, c, err
}

// Provision creates the stream and the consumer of a queue, or updates them to cfg.
// Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) error {
	want, err := Stream(queue, cfg)
	if err != nil {
		return err
	}
	workers, err := Consumer(queue, cfg)
	if err != nil {
		return err
	}
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) })
	if err == nil {
		_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
			return js.CreateOrUpdateConsumer(ctx, want.Name, workers)
		})
	}
	if err != nil {
		return fmt.Errorf("backoff: provision %s: %w", queue, err)
	}
	return nil
}
