package idempotent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket returns the configuration of the bucket that NewReceiver creates, called
// done-<name>. It forgets a record after Keep. Needs nats-server 2.11.
func Bucket(name string, cfg Config) (jetstream.KeyValueConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.KeyValueConfig{
		Bucket: "done-" + name, TTL: cfg.Keep, LimitMarkerTTL: time.Second, // without which no claim could end
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata, Description: "what was done (idempotent)",
	}, errors.Join(checkID(name), err)
}

// Provision creates the bucket, or changes one that exists to what cfg says.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	want, err := Bucket(name, cfg)
	if err != nil {
		return err
	}
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return js.CreateOrUpdateKeyValue(ctx, want) })
	if err != nil {
		return fmt.Errorf("idempotent: provision bucket %s: %w", want.Bucket, err)
	}
	return nil
}

// bucket finds the bucket or creates it; one that exists is compared, and never
// changed.
func bucket(ctx context.Context, js jetstream.JetStream, want jetstream.KeyValueConfig, bind bool) (jetstream.KeyValue, error) {
	find := func(ctx context.Context) (jetstream.KeyValue, error) { return js.KeyValue(ctx, want.Bucket) }
	kv, err := callAPI(ctx, find)
	if errors.Is(err, jetstream.ErrBucketNotFound) && !bind {
		kv, err = callAPI(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return js.CreateKeyValue(ctx, want) })
		if errors.Is(err, jetstream.ErrBucketExists) { // someone else was quicker
			kv, err = callAPI(ctx, find)
		}
	}
	if err != nil {
		return nil, err
	}
	have, err := callAPI(ctx, kv.Status)
	switch {
	case err != nil:
		return nil, err
	case have.TTL() != want.TTL:
		return nil, fmt.Errorf("%w: it has TTL %v, want Keep %v", ErrMismatch, have.TTL(), want.TTL)
	case have.LimitMarkerTTL() == 0:
		return nil, fmt.Errorf("%w: it has LimitMarkerTTL 0, so no claim would ever end", ErrMismatch)
	}
	return kv, nil
}
