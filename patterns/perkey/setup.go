package perkey

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// reach is how many events the server lets a reader put back and hold, and so how far
// apart two of a key may be that come in the wrong order.
const reach = 65_536

// group is the priority group of every consumer: whoever is pinned in it reads alone.
const group = "reader"

// Stream returns the stream of a topic: PERKEY_<topic>. It takes perkey.<topic>.<key>
// and stores it as perkey.<topic>.<partition>.<key>; the hash is the server's.
func Stream(topic string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(topic)
	}
	in := "perkey." + topic
	return jetstream.StreamConfig{
		Name: "PERKEY_" + topic, Subjects: []string{in + ".*"},
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: in + ".*", Destination: fmt.Sprintf("%s.{{partition(%d,1)}}.{{wildcard(1)}}", in, cfg.Partitions)},
		Duplicates:       2 * time.Minute, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

// Consumer returns the consumer by which a listener reads a partition of a topic:
// <listener>-<partition>.
func Consumer(topic, listener string, partition int, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	for _, id := range []string{topic, listener} {
		if err == nil {
			err = checkID(id)
		}
	}
	p := strconv.Itoa(partition)
	return jetstream.ConsumerConfig{
		Durable: listener + "-" + p, FilterSubject: "perkey." + topic + "." + p + ".*",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.Takeover, MaxDeliver: -1, MaxAckPending: reach,
		PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{group}, PinnedTTL: cfg.Takeover,
		Metadata: maps.Clone(cfg.Metadata),
	}, err
}

func setup(ctx context.Context, js jetstream.JetStream, topic, listener string, cfg Config) (readers []*reader, err error) {
	want, err := Stream(topic, cfg)
	if err != nil {
		return nil, err
	}
	s, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	for _, p := range cfg.Reads {
		if err != nil {
			return nil, err
		}
		var w jetstream.ConsumerConfig
		var c jetstream.Consumer
		if w, err = Consumer(topic, listener, p, cfg); err == nil {
			c, err = ensure(ctx, consumerOf(s, w.Durable), w, cfg.Bind)
			readers = append(readers, &reader{Consumer: c})
		}
	}
	return readers, err
}

// Provision creates what listener needs to read all partitions of topic, or updates
// it to cfg. Nothing else here changes what exists. What is stored stays in the
// partition it was put in.
func Provision(ctx context.Context, js jetstream.JetStream, topic, listener string, cfg Config) error {
	want, err := Stream(topic, cfg)
	var readers []jetstream.ConsumerConfig
	for p := 0; err == nil && p < max(1, cfg.Partitions); p++ {
		var r jetstream.ConsumerConfig
		r, err = Consumer(topic, listener, p, cfg)
		readers = append(readers, r)
	}
	if err != nil {
		return err
	}
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) })
	for _, r := range readers {
		if err == nil {
			_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
				return js.CreateOrUpdateConsumer(ctx, want.Name, r)
			})
		}
	}
	if err != nil {
		return fmt.Errorf("perkey: provision %s for %s: %w", topic, listener, err)
	}
	return nil
}
