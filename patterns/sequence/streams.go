package sequence

import (
	"cmp"
	"context"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"
)

// maxAckPending bounds the unacknowledged messages: those that are held, and those that
// wait for their redelivery.
const maxAckPending = 65_536

// StreamConfig returns the output stream of the resequencer called name:
// SEQUENCE_<name> with the subjects sequence.<name>.<id>.
func StreamConfig(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err = cmp.Or(err, checkID(name)); err != nil {
		return jetstream.StreamConfig{}, err
	}
	return jetstream.StreamConfig{
		Name: "SEQUENCE_" + name, Subjects: []string{"sequence." + name + ".*"},
		Discard: jetstream.DiscardNew, MaxBytes: cfg.MaxBytes,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, nil
}

// ConsumerConfig returns the consumer of the input stream: sequence-<name>.
func ConsumerConfig(name string, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	if err = cmp.Or(err, checkID(name)); err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	return jetstream.ConsumerConfig{
		Durable: "sequence-" + name, FilterSubjects: cfg.Subjects, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: cfg.AckWait, MaxDeliver: -1, MaxAckPending: maxAckPending, Metadata: maps.Clone(cfg.Metadata),
	}, nil
}

// Provision creates the output stream and the consumer of the resequencer called name,
// or strengthens them to cfg.
func Provision(ctx context.Context, js jetstream.JetStream, stream, name string, cfg Config) error {
	wantOutput, err := StreamConfig(name, cfg)
	if err = cmp.Or(err, checkID(stream)); err != nil {
		return err
	}
	wantConsumer, err := ConsumerConfig(name, cfg)
	if err != nil {
		return err
	}
	input, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.Stream(ctx, stream) })
	if err != nil {
		return fmt.Errorf("sequence: provision %s: stream %s: %w", name, stream, err)
	}
	if _, err := provision(ctx, streamOf(js, wantOutput.Name), wantOutput); err != nil {
		return fmt.Errorf("sequence: provision %s: %w", name, err)
	}
	if _, err := provision(ctx, consumerOf(input, wantConsumer.Durable), wantConsumer); err != nil {
		return fmt.Errorf("sequence: provision %s: %w", name, err)
	}
	return nil
}
