package perkey

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// maxAckPending bounds the unacknowledged events of a partition: events that are held,
// and events that wait for their redelivery.
const maxAckPending = 65_536

// group is the priority group of each consumer. The server delivers to the one client
// that is pinned in it.
const group = "reader"

// StreamConfig returns the stream PERKEY_<topic>. It receives perkey.<topic>.<key> and
// stores perkey.<topic>.<partition>.<key>. The server computes the partition.
func StreamConfig(topic string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err = cmp.Or(err, checkID(topic)); err != nil {
		return jetstream.StreamConfig{}, err
	}
	prefix := "perkey." + topic
	return jetstream.StreamConfig{
		Name: "PERKEY_" + topic, Subjects: []string{prefix + ".*"},
		SubjectTransform: &jetstream.SubjectTransformConfig{
			Source:      prefix + ".*",
			Destination: fmt.Sprintf("%s.{{partition(%d,1)}}.{{wildcard(1)}}", prefix, cfg.Partitions),
		},
		Discard: jetstream.DiscardNew, MaxBytes: cfg.MaxBytes, Duplicates: 2 * time.Minute,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, nil
}

// ConsumerConfig returns the consumer <service>-<partition>, with which a service reads
// a partition of topic.
func ConsumerConfig(topic, service string, partition int, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	if err = cmp.Or(err, checkID(topic), checkID(service)); err != nil {
		return jetstream.ConsumerConfig{}, err
	}
	p := strconv.Itoa(partition)
	return jetstream.ConsumerConfig{
		Durable: service + "-" + p, FilterSubject: "perkey." + topic + "." + p + ".*",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.Takeover, MaxDeliver: -1, MaxAckPending: maxAckPending,
		PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{group}, PinnedTTL: cfg.Takeover,
		Metadata: maps.Clone(cfg.Metadata),
	}, nil
}

// Provision creates the stream of topic and the consumers of service for all
// partitions, or strengthens them to cfg. A change of Partitions applies to events
// that are stored later.
func Provision(ctx context.Context, js jetstream.JetStream, topic, service string, cfg Config) error {
	want, err := StreamConfig(topic, cfg)
	if err = cmp.Or(err, checkID(service)); err != nil {
		return err
	}
	stream, err := provision(ctx, streamOf(js, want.Name), want)
	if err != nil {
		return fmt.Errorf("perkey: provision %s: %w", topic, err)
	}
	for p := range max(1, cfg.Partitions) {
		want, err := ConsumerConfig(topic, service, p, cfg)
		if err != nil {
			return err
		}
		if _, err := provision(ctx, consumerOf(stream, want.Durable), want); err != nil {
			return fmt.Errorf("perkey: provision %s for %s: %w", topic, service, err)
		}
	}
	return nil
}
