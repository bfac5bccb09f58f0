package lease

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
	// ErrID reports a name or key that the package does not accept.
	ErrID = errors.New("lease: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("lease: bad config")
	// ErrMismatch reports a bucket with weaker settings.
	ErrMismatch = errors.New("lease: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports that Run was called again.
	ErrAlreadyRun = errors.New("lease: Run was already called")
	// ErrFenced reports a write of a term that has ended. Nothing was written.
	ErrFenced = errors.New("lease: the term has ended; the server refused the write")
)

// Config tunes a lease. All candidates use the same Bucket and TTL. The zero Config is
// ready to use.
type Config struct {
	Bucket   string                // of the lease, and of what Term.Put writes; "leases" if empty
	TTL      time.Duration         // a leader that does not renew for this long loses the lease; whole seconds; 5 s if zero
	Replicas int                   // of the bucket; 1 if zero
	Storage  jetstream.StorageType // of the bucket; file if zero
	MaxBytes int64                 // of the bucket: if it is full, writes fail; no limit if zero
	Bind     bool                  // never create the bucket
	Metadata map[string]string     // of a bucket that New creates
	Log      *slog.Logger          // failed claims and renewals; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Bucket = cmp.Or(c.Bucket, "leases")
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := cmp.Or(
		setDefault("TTL", &c.TTL, 5*time.Second, time.Second),
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
	)
	switch {
	case checkID(c.Bucket) != nil:
		err = fmt.Errorf("%w: Bucket is %.80q; use 1 to 64 of A-Z a-z 0-9 _ -", ErrConfig, c.Bucket)
	case c.TTL%time.Second != 0:
		err = fmt.Errorf("%w: TTL is %v; use whole seconds, because the server ignores the rest", ErrConfig, c.TTL)
	}
	return c, err
}

// BucketConfig returns the bucket that NewCandidate creates. LimitMarkerTTL allows
// keys with a time to live.
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
		return fmt.Errorf("lease: provision: %w", err)
	}
	return nil
}
