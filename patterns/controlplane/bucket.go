package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Bucket returns the configuration of the bucket that New creates. Its keys may
// have a time to live, by which the lease of a silent controller ends. Needs
// nats-server 2.11.
func Bucket(cfg Config) (jetstream.KeyValueConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.KeyValueConfig{
		Bucket: cfg.Bucket, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
		LimitMarkerTTL: time.Minute, Description: "desired and observed state (controlplane)",
	}, err
}

// Provision creates the bucket, or changes one that exists to what cfg says.
func Provision(ctx context.Context, js jetstream.JetStream, cfg Config) error {
	want, err := Bucket(cfg)
	if err != nil {
		return err
	}
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return js.CreateOrUpdateKeyValue(ctx, want) })
	if err != nil {
		return fmt.Errorf("controlplane: provision bucket %s: %w", want.Bucket, err)
	}
	return nil
}

// bucket finds the bucket or creates it; one that exists is compared, and never
// changed.
func bucket(ctx context.Context, js jetstream.JetStream, cfg Config) (jetstream.KeyValue, error) {
	find := func(ctx context.Context) (jetstream.KeyValue, error) { return js.KeyValue(ctx, cfg.Bucket) }
	kv, err := callAPI(ctx, find)
	if errors.Is(err, jetstream.ErrBucketNotFound) && !cfg.Bind {
		want, _ := Bucket(cfg) // cfg is normal already
		kv, err = callAPI(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return js.CreateKeyValue(ctx, want) })
		if errors.Is(err, jetstream.ErrBucketExists) { // someone else was quicker
			kv, err = callAPI(ctx, find)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("controlplane: bucket %s: %w", cfg.Bucket, err)
	}
	status, err := callAPI(ctx, kv.Status)
	if err == nil && status.LimitMarkerTTL() == 0 {
		err = fmt.Errorf("%w: its LimitMarkerTTL is 0, so no lease would ever end; Provision changes that", ErrMismatch)
	}
	if err != nil {
		return nil, fmt.Errorf("controlplane: bucket %s: %w", cfg.Bucket, err)
	}
	return kv, nil
}
