package controlplane

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports a service or instance name that the package does not accept.
	ErrID = errors.New("controlplane: bad ID")
	// ErrConfig reports a bad Config field or Desired.
	ErrConfig = errors.New("controlplane: bad config")
	// ErrMismatch reports a bucket with weaker settings.
	ErrMismatch = errors.New("controlplane: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports that Run was called again.
	ErrAlreadyRun = errors.New("controlplane: Run was already called")
	// ErrRefused reports a desired state that an instance refuses. A handler wraps it to
	// report the reason; the handler is not called again for this generation.
	ErrRefused = errors.New("controlplane: refused")
)

// Config tunes controllers and agents. Both use the same Bucket. The zero Config is
// ready to use.
type Config struct {
	Bucket   string                // of the desired and actual state; "control" if empty
	Backoff  time.Duration         // first delay before an agent retries, doubled up to one minute; 1 s if zero
	Grace    time.Duration         // how long a handler may go on after ctx has ended; 10 s if zero
	Replicas int                   // of the bucket; 1 if zero
	Storage  jetstream.StorageType // of the bucket; file if zero
	MaxBytes int64                 // of the bucket: if it is full, writes fail; no limit if zero
	Bind     bool                  // never create the bucket
	Metadata map[string]string     // of a bucket that NewAgent creates
	Log      *slog.Logger          // failed attempts; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Bucket = cmp.Or(c.Bucket, "control")
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := cmp.Or(
		setDefault("Backoff", &c.Backoff, time.Second, 0),
		setDefault("Grace", &c.Grace, 10*time.Second, 0),
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
	)
	if checkID(c.Bucket) != nil {
		err = fmt.Errorf("%w: Bucket is %.80q; use 1 to 64 of A-Z a-z 0-9 _ -", ErrConfig, c.Bucket)
	}
	return c, err
}

// BucketConfig returns the bucket that NewAgent creates. LimitMarkerTTL allows keys with
// a time to live: a lease of the controller.
func BucketConfig(cfg Config) (jetstream.KeyValueConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.KeyValueConfig{
		Bucket: cfg.Bucket, Replicas: cfg.Replicas, Storage: cfg.Storage, MaxBytes: cfg.MaxBytes, Metadata: cfg.Metadata,
		LimitMarkerTTL: time.Minute,
	}, err
}

// Provision creates the bucket, or strengthens the settings that are weaker than cfg.
func Provision(ctx context.Context, js jetstream.JetStream, cfg Config) error {
	want, err := BucketConfig(cfg)
	if err != nil {
		return err
	}
	if _, err = provision(ctx, bucketOf(js, want.Bucket), want); err != nil {
		return fmt.Errorf("controlplane: provision: %w", err)
	}
	return nil
}

// The keys of the bucket are desired.<service>, desired.<service>.<instance> and
// actual.<service>.<instance>.
const (
	desiredPrefix = "desired."
	actualPrefix  = "actual."
)
