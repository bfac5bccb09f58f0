package sequence

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Setup returns what the resequencer called name is made of: the stream
// SEQUENCE_<name> of what is in order, on sequence.<name>.<id>, and its consumer of
// the stream it reads.
func Setup(name string, cfg Config) (ordered jetstream.StreamConfig, reads jetstream.ConsumerConfig, err error) {
	if cfg, err = cfg.normal(); err == nil {
		err = checkID(name)
	}
	ordered = jetstream.StreamConfig{
		Name: "SEQUENCE_" + name, Subjects: []string{"sequence." + name + ".*"},
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	reads = jetstream.ConsumerConfig{
		Durable: "sequence-" + name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1,
		MaxAckPending: reach, FilterSubjects: cfg.Subjects, Metadata: maps.Clone(cfg.Metadata),
	}
	return ordered, reads, err
}

// ackWait is how long the server waits for word of a message it has handed out. What
// is held is told of three times as often.
const ackWait = 30 * time.Second

// reach is how far apart two messages may be that are to change places: so many may
// be held or put back at a time.
const reach = 65_536

// Provision creates what the resequencer called name needs, or updates it to cfg.
// Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, stream, name string, cfg Config) error {
	ordered, reads, err := Setup(name, cfg)
	if err == nil {
		err = checkID(stream)
	}
	if err != nil {
		return err
	}
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, ordered) })
	if err == nil {
		_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
			return js.CreateOrUpdateConsumer(ctx, stream, reads)
		})
	}
	if err != nil {
		return fmt.Errorf("sequence: provision %s: %w", name, err)
	}
	return nil
}
