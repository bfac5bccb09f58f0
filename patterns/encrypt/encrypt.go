package encrypt

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("encrypt: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("encrypt: bad config")
	// ErrMismatch reports a bucket with settings that keep a key from being destroyed.
	ErrMismatch = errors.New("encrypt: exists with other settings; change Config or call Provision")
	// ErrForgotten reports that the key of a ciphertext was destroyed.
	ErrForgotten = errors.New("encrypt: key destroyed")
	// ErrNoMessage reports that there is no such message to redact.
	ErrNoMessage = errors.New("encrypt: no such message")
)

// Config configures a [Vault]. The zero Config is ready to use.
type Config struct {
	Replicas int                   // of the bucket; default 1
	Storage  jetstream.StorageType // of the bucket; default file
	MaxBytes int64                 // of the bucket; a full bucket refuses new keys; 0 is unlimited
	Bind     bool                  // create nothing: a missing bucket is an error
	Metadata map[string]string     // of the bucket, if it is created
}

func (c Config) normal() (Config, error) {
	err := errors.Join(setDefault("Replicas", &c.Replicas, 1, 1, 5), setDefault("MaxBytes", &c.MaxBytes, 0, 0))
	return c, err
}

// StreamConfig returns the stream of a key-value bucket for keys. It differs from the
// stream that CreateKeyValue makes in the fields of exact.
func StreamConfig(bucket string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.StreamConfig{
		Name: "KV_" + bucket, Subjects: []string{"$KV." + bucket + ".>"}, MaxMsgsPerSubject: 1, AllowRollup: true, Discard: jetstream.DiscardNew,
		MaxBytes: cfg.MaxBytes, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, errors.Join(checkID(bucket), err)
}

// exact are the fields of the stream that must be equal.
var exact = []string{
	"DenyDelete",  // false: Forget deletes a key. A purge would leave it on the disk.
	"AllowDirect", // false: only the leader has the newest keys. From a replica, Forget could miss one.
}

// Vault stores one data encryption key per person in a key-value bucket.
type Vault struct {
	kv   jetstream.KeyValue
	keys jetstream.Stream
}

// NewVault returns the vault in bucket, and creates the bucket if it does not exist.
func NewVault(ctx context.Context, js jetstream.JetStream, bucket string, cfg Config) (*Vault, error) {
	want, err := streamConfig(js, bucket, cfg)
	if err != nil {
		return nil, err
	}
	keys, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind, exact...)
	if err != nil {
		return nil, fmt.Errorf("encrypt: vault %s: %w", bucket, err)
	}
	kv, err := callAPI(ctx, func(ctx context.Context) (jetstream.KeyValue, error) { return js.KeyValue(ctx, bucket) })
	if err != nil {
		return nil, fmt.Errorf("encrypt: vault %s: %w", bucket, err)
	}
	return &Vault{kv, keys}, nil
}

// Provision creates the bucket of a vault, or changes in it what keeps a key from being
// destroyed, and what is weaker than cfg.
func Provision(ctx context.Context, js jetstream.JetStream, bucket string, cfg Config) error {
	want, err := streamConfig(js, bucket, cfg)
	if err != nil {
		return err
	}
	if _, err := provision(ctx, streamOf(js, want.Name), want, exact...); err != nil {
		return fmt.Errorf("encrypt: vault %s: %w", bucket, err)
	}
	return nil
}

func streamConfig(js jetstream.JetStream, bucket string, cfg Config) (jetstream.StreamConfig, error) {
	if js == nil {
		return jetstream.StreamConfig{}, fmt.Errorf("%w: js is nil", ErrConfig)
	}
	return StreamConfig(bucket, cfg)
}
