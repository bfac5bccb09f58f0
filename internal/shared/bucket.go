package shared

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"
)

// bucket is a KV bucket with its settings.
type bucket struct {
	jetstream.KeyValue
	config jetstream.KeyValueConfig
}

func bucketOf(js jetstream.JetStream, name string) resource[bucket, jetstream.KeyValueConfig] {
	open := func(ctx context.Context, kv jetstream.KeyValue, err error) (bucket, error) {
		if err != nil {
			return bucket{}, err
		}
		status, err := kv.Status(ctx)
		if err != nil {
			return bucket{}, err
		}
		return bucket{kv, status.Config()}, nil
	}
	return resource[bucket, jetstream.KeyValueConfig]{
		"bucket " + name, jetstream.ErrBucketNotFound, jetstream.ErrBucketExists,
		func(ctx context.Context) (bucket, error) {
			kv, err := js.KeyValue(ctx, name)
			return open(ctx, kv, err)
		},
		func(ctx context.Context, c jetstream.KeyValueConfig) (bucket, error) {
			kv, err := js.CreateKeyValue(ctx, c)
			return open(ctx, kv, err)
		},
		func(ctx context.Context, c jetstream.KeyValueConfig) (bucket, error) {
			kv, err := js.UpdateKeyValue(ctx, c)
			return open(ctx, kv, err)
		},
		func(b bucket) jetstream.KeyValueConfig { return b.config },
	}
}
