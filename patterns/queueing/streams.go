package queueing

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const group = "workers" // the durable consumer, and its one priority group

// Streams returns the two streams of a queue: JOBS_<queue>, from which a job goes
// when it is done or has failed, and FAILED_<queue>, which keeps the failed.
func Streams(queue string, cfg Config) (jobs, failed jetstream.StreamConfig, err error) {
	if cfg, err = cfg.normal(); err == nil {
		err = checkID(queue)
	}
	if err != nil {
		return jobs, failed, err
	}
	jobs = jetstream.StreamConfig{
		Name: "JOBS_" + queue, Subjects: []string{"jobs." + queue + ".*"}, Retention: jetstream.WorkQueuePolicy,
		Duplicates: 2 * time.Minute, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	failed = jetstream.StreamConfig{
		Name: "FAILED_" + queue, Subjects: []string{"failed." + queue + ".*"}, Retention: jetstream.LimitsPolicy,
		MaxMsgsPerSubject: 1, MaxAge: cfg.Keep, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	return jobs, failed, nil
}

// Consumer returns the consumer that the workers of a queue share.
func Consumer(cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.ConsumerConfig{
		Durable: group, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, MaxDeliver: -1, MaxAckPending: cfg.InFlight,
		PriorityPolicy: jetstream.PriorityPolicyPrioritized, PriorityGroups: []string{group}, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

func ensure(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) (jetstream.Consumer, error) {
	jobs, failed, err := Streams(queue, cfg)
	if err != nil {
		return nil, err
	}
	_, err = ensureStream(ctx, js, failed, cfg.Bind, func(have jetstream.StreamConfig) []need {
		return []need{
			{"Subjects", failed.Subjects, have.Subjects}, {"Retention", failed.Retention, have.Retention},
			{"MaxAge", failed.MaxAge, have.MaxAge},
		}
	})
	if err != nil {
		return nil, err
	}
	s, err := ensureStream(ctx, js, jobs, cfg.Bind, func(have jetstream.StreamConfig) []need {
		return []need{
			{"Subjects", jobs.Subjects, have.Subjects}, {"Retention", jobs.Retention, have.Retention},
			{"Duplicates", jobs.Duplicates, have.Duplicates},
		}
	})
	if err != nil {
		return nil, err
	}
	want, err := Consumer(cfg)
	if err != nil {
		return nil, err
	}
	return ensureConsumer(ctx, s, want, cfg.Bind, func(have jetstream.ConsumerConfig) []need {
		return []need{
			{"AckPolicy", want.AckPolicy, have.AckPolicy}, {"AckWait", want.AckWait, have.AckWait},
			{"MaxDeliver", want.MaxDeliver, have.MaxDeliver}, {"MaxAckPending", want.MaxAckPending, have.MaxAckPending},
			{"PriorityPolicy", want.PriorityPolicy, have.PriorityPolicy}, {"PriorityGroups", want.PriorityGroups, have.PriorityGroups},
		}
	})
}

// Provision creates the streams and the consumer of a queue, or updates them to
// cfg. Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) error {
	jobs, failed, err := Streams(queue, cfg)
	if err != nil {
		return err
	}
	cons, err := Consumer(cfg)
	if err != nil {
		return err
	}
	for _, s := range []jetstream.StreamConfig{failed, jobs} {
		if _, err = ask(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, s) }); err != nil {
			return fmt.Errorf("queueing: provision %s: %w", s.Name, err)
		}
	}
	_, err = ask(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
		return js.CreateOrUpdateConsumer(ctx, jobs.Name, cons)
	})
	if err != nil {
		return fmt.Errorf("queueing: provision %s: %w", cons.Durable, err)
	}
	return nil
}
