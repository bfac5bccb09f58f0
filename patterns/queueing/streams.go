package queueing

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const group = "workers" // the durable consumer, and its one priority group

// Streams returns what a queue is made of: the stream JOBS_<queue>, which a job
// leaves when it is done or has failed; FAILED_<queue>, which keeps the failed; and
// the consumer of JOBS that the workers share.
func Streams(queue string, cfg Config) (jobs, failed jetstream.StreamConfig, workers jetstream.ConsumerConfig, err error) {
	if cfg, err = cfg.normal(); err == nil {
		err = checkID(queue)
	}
	if err != nil {
		return jobs, failed, workers, err
	}
	jobs = jetstream.StreamConfig{
		Name: "JOBS_" + queue, Subjects: []string{"jobs." + queue + ".*"}, Retention: jetstream.WorkQueuePolicy,
		Duplicates: 2 * time.Minute, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	failed = jetstream.StreamConfig{
		Name: "FAILED_" + queue, Subjects: []string{"failed." + queue + ".*"}, MaxMsgsPerSubject: 1, MaxAge: cfg.Keep,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	workers = jetstream.ConsumerConfig{
		Durable: group, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, MaxDeliver: -1, MaxAckPending: cfg.InFlight,
		PriorityPolicy: jetstream.PriorityPolicyPrioritized, PriorityGroups: []string{group}, Metadata: maps.Clone(cfg.Metadata),
	}
	return jobs, failed, workers, nil
}

func setup(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (jetstream.Consumer, error) {
	jobs, failed, workers, err := Streams(queue, cfg)
	if err != nil {
		return nil, err
	}
	_, err = ensure(ctx, streamOf(js, failed.Name), failed, cfg.Bind)
	if err != nil {
		return nil, err
	}
	s, err := ensure(ctx, streamOf(js, jobs.Name), jobs, cfg.Bind)
	if err != nil {
		return nil, err
	}
	return ensure(ctx, consumerOf(s, workers.Durable), workers, cfg.Bind)
}

// Provision creates the streams and the consumer of a queue, or updates them to
// cfg. Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) error {
	jobs, failed, workers, err := Streams(queue, cfg)
	if err != nil {
		return err
	}
	for _, s := range []jetstream.StreamConfig{failed, jobs} {
		if _, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, s) }); err != nil {
			return fmt.Errorf("queueing: provision %s: %w", s.Name, err)
		}
	}
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return js.CreateOrUpdateConsumer(ctx, jobs.Name, workers)
	})
	if err != nil {
		return fmt.Errorf("queueing: provision the workers of %s: %w", jobs.Name, err)
	}
	return nil
}
