package queueing

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const group = "workers" // the durable consumer, and its one priority group

// JobsStreamConfig returns the stream JOBS_<queue>. It stores a job until the job is
// acknowledged or has failed.
func JobsStreamConfig(queue string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal(queue)
	return jetstream.StreamConfig{
		Name: "JOBS_" + queue, Subjects: []string{"jobs." + queue + ".*"}, Retention: jetstream.WorkQueuePolicy,
		Duplicates: 2 * time.Minute, MaxBytes: cfg.MaxBytes, Discard: jetstream.DiscardNew,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
	}, err
}

// FailedStreamConfig returns the stream FAILED_<queue>, which stores each failed job
// for Config.MaxAge.
func FailedStreamConfig(queue string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal(queue)
	return jetstream.StreamConfig{
		Name: "FAILED_" + queue, Subjects: []string{"failed." + queue + ".*"}, MaxMsgsPerSubject: 1, MaxAge: cfg.MaxAge,
		MaxBytes: cfg.MaxBytes, Discard: jetstream.DiscardNew,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
	}, err
}

// ConsumerConfig returns the consumer of JOBS_<queue> that all workers share.
func ConsumerConfig(queue string, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal(queue)
	return jetstream.ConsumerConfig{
		Durable: group, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, MaxDeliver: -1, MaxAckPending: cfg.MaxAckPending,
		PriorityPolicy: jetstream.PriorityPolicyPrioritized, PriorityGroups: []string{group}, Metadata: cfg.Metadata,
	}, err
}

// Provision creates the streams and the consumer of a queue, or changes each setting
// that is weaker than cfg.
func Provision(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) error {
	if _, _, err := openQueue(ctx, js, queue, cfg, true); err != nil {
		return fmt.Errorf("queueing: provision %s: %w", queue, err)
	}
	return nil
}

// openQueue finds or creates the jobs stream and the consumer of a queue, or provisions
// them.
func openQueue(ctx context.Context, js jetstream.JetStream, queue string, cfg Config, change bool) (s jetstream.Stream, c jetstream.Consumer, err error) {
	failed, err := FailedStreamConfig(queue, cfg)
	if err != nil {
		return nil, nil, err
	}
	jobs, _ := JobsStreamConfig(queue, cfg)
	workers, _ := ConsumerConfig(queue, cfg)
	const direct = "AllowDirect" // with it, a replica that is behind could reply to Check
	if _, err = open(ctx, streamOf(js, failed.Name), failed, cfg.Bind, change, direct); err != nil {
		return nil, nil, err
	}
	if s, err = open(ctx, streamOf(js, jobs.Name), jobs, cfg.Bind, change, direct); err != nil {
		return nil, nil, err
	}
	const limit = "MaxAckPending" // a higher one would exceed what cfg promises
	c, err = open(ctx, consumerOf(s, group), workers, cfg.Bind, change, limit)
	return s, c, err
}

func open[T, C any](ctx context.Context, r resource[T, C], want C, bind, change bool, exact string) (T, error) {
	if change {
		return provision(ctx, r, want, exact)
	}
	return ensure(ctx, r, want, bind, exact)
}
