package shared

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ensureBucket finds the bucket, or creates it unless bind is set. It refuses one that
// is weaker than want, or has another value in a field that exact names.
func ensureBucket(ctx context.Context, js jetstream.JetStream, want jetstream.KeyValueConfig, bind bool, exact ...string) (jetstream.KeyValue, error) {
	kv, have, err := findBucket(ctx, js, want, bind)
	if err != nil {
		return nil, err
	}
	return kv, compare("bucket "+want.Bucket, have, setFields(strengthenBucket(have, want), want, exact))
}

// findBucket finds the bucket, or creates it unless bind is set, and returns its settings.
func findBucket(ctx context.Context, js jetstream.JetStream, want jetstream.KeyValueConfig, bind bool) (jetstream.KeyValue, jetstream.KeyValueConfig, error) {
	var have jetstream.KeyValueConfig
	kv, err := findOrCreate(ctx, bind, jetstream.ErrBucketNotFound, jetstream.ErrBucketExists,
		func(ctx context.Context) (jetstream.KeyValue, error) { return js.KeyValue(ctx, want.Bucket) },
		func(ctx context.Context) (jetstream.KeyValue, error) { return js.CreateKeyValue(ctx, want) })
	if err == nil {
		var status jetstream.KeyValueStatus
		if status, err = callAPI(ctx, kv.Status); err == nil {
			have = status.Config()
		}
	}
	if err != nil {
		return nil, have, fmt.Errorf("bucket %s: %w", want.Bucket, err)
	}
	return kv, have, nil
}

// provisionBucket creates the bucket, or changes what ensureBucket would refuse.
func provisionBucket(ctx context.Context, js jetstream.JetStream, want jetstream.KeyValueConfig, exact ...string) (jetstream.KeyValue, error) {
	_, have, err := findBucket(ctx, js, want, false)
	if err != nil {
		return nil, err
	}
	needed := setFields(strengthenBucket(have, want), want, exact)
	kv, err := callAPI(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return js.UpdateKeyValue(ctx, needed) })
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", want.Bucket, err)
	}
	return kv, nil
}

// strengthenBucket returns have with each setting replaced that is weaker than want.
func strengthenBucket(have, want jetstream.KeyValueConfig) jetstream.KeyValueConfig {
	c := have
	c.History, c.Replicas, c.Storage = max(have.History, want.History), max(have.Replicas, want.Replicas), min(have.Storage, want.Storage)
	c.TTL, c.LimitMarkerTTL = longer(have.TTL, want.TTL), max(have.LimitMarkerTTL, want.LimitMarkerTTL)
	c.Metadata = mergeMetadata(have.Metadata, want.Metadata)
	return c
}
