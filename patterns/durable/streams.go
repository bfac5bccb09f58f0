package durable

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"
)

// Stream returns the stream of a topic. It refuses when it is full; it drops
// nothing unread to make room.
func Stream(topic string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(topic)
	}
	if err != nil {
		return jetstream.StreamConfig{}, err
	}
	s := jetstream.StreamConfig{
		Name: "DURABLE_" + topic, Subjects: []string{"durable." + topic + ".*"}, Duplicates: cfg.Dedupe,
		Discard: jetstream.DiscardNew, MaxAge: cfg.Keep, MaxBytes: cfg.MaxBytes,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}
	if s.MaxBytes == 0 {
		s.MaxBytes = -1 // as the server says "none"
	}
	return s, nil
}

// Consumer returns the consumer that remembers how far the subscriber name has
// come. It has one message out at a time, so that none overtakes another.
func Consumer(name string, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	return jetstream.ConsumerConfig{
		Durable: name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, MaxAckPending: 1, MaxDeliver: -1,
		Metadata: maps.Clone(cfg.Metadata),
	}, err
}

func openStream(ctx context.Context, js jetstream.JetStream, topic string, cfg Config) (jetstream.Stream, error) {
	want, err := Stream(topic, cfg)
	if err != nil {
		return nil, err
	}
	return ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
}

func openConsumer(ctx context.Context, s jetstream.Stream, name string, cfg Config) (jetstream.Consumer, error) {
	want, err := Consumer(name, cfg)
	if err != nil {
		return nil, err
	}
	return ensure(ctx, consumerOf(s, want.Durable), want, cfg.Bind)
}

// Provision creates the stream of a topic and its subscribers' consumers, or
// updates them to cfg. Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, topic string, subscribers []string, cfg Config) error {
	want, err := Stream(topic, cfg)
	if err != nil {
		return err
	}
	if _, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) }); err != nil {
		return fmt.Errorf("durable: provision %s: %w", topic, err)
	}
	for _, name := range subscribers {
		c, err := Consumer(name, cfg)
		if err == nil {
			_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
				return js.CreateOrUpdateConsumer(ctx, want.Name, c)
			})
		}
		if err != nil && !errors.Is(err, ErrID) {
			err = fmt.Errorf("durable: provision %s of %s: %w", name, topic, err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
