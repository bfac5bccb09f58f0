package idempotent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID or a name that cannot be one token of a subject.
	ErrID = errors.New("idempotent: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("idempotent: bad config")
	// ErrMismatch reports a stream or bucket with weaker settings.
	ErrMismatch = errors.New("idempotent: exists with other settings; change Config or call Provision")
	// ErrBusy reports that the effect was not called, because another receiver has
	// claimed the message. Nak it with a delay.
	ErrBusy = errors.New("idempotent: another receiver handles the message")
	// ErrInDoubt reports that the effect took place without a record, or that the
	// server may have stored a message. A further attempt can repeat it.
	ErrInDoubt = errors.New("idempotent: in doubt; a further attempt can repeat the effect")
)

const (
	attemptTimeout = 2 * time.Second
	retryDelay     = 100 * time.Millisecond

	// codeDuplicateInProcess is JSStreamDuplicateMessageConflict: the server has not yet
	// stored the first message with this Nats-Msg-Id.
	codeDuplicateInProcess jetstream.ErrorCode = 10158
)

// Config tunes the receivers. The zero Config is ready to use.
type Config struct {
	MaxAge time.Duration // how long a done message is remembered: longer than it can be redelivered; 7 days if zero
	Lease  time.Duration // Receiver: the longest time of an effect; a crashed receiver's message is busy for as long; 30 s if zero

	Replicas int                   // Receiver: of the bucket; 1 if zero
	Storage  jetstream.StorageType // Receiver: of the bucket; file if zero
	MaxBytes int64                 // Receiver: of the bucket: if it is full, Once fails; no limit if zero
	Bind     bool                  // never create the bucket or table
	Metadata map[string]string     // Receiver: of a bucket that NewReceiver creates
}

func (c Config) normal() (Config, error) {
	err := cmp.Or(
		setDefault("MaxAge", &c.MaxAge, 7*24*time.Hour, time.Second),
		setDefault("Lease", &c.Lease, min(30*time.Second, max(c.MaxAge, time.Second)), time.Second),
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
	)
	if err == nil && c.Lease > c.MaxAge {
		err = fmt.Errorf("%w: Lease is %v; use at most MaxAge, %v", ErrConfig, c.Lease, c.MaxAge)
	}
	return c, err
}

// BucketConfig returns the bucket that NewReceiver creates for the receiver name.
func BucketConfig(name string, cfg Config) (jetstream.KeyValueConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.KeyValueConfig{
		Bucket: "done-" + name, TTL: cfg.MaxAge, LimitMarkerTTL: time.Second, // allows keys with a time to live
		Replicas: cfg.Replicas, Storage: cfg.Storage, MaxBytes: cfg.MaxBytes, Metadata: cfg.Metadata,
		Description: "done messages (idempotent)",
	}, cmp.Or(checkID(name), err)
}

// Provision creates the bucket of the receiver name, or strengthens the settings that
// are weaker than cfg.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	want, err := BucketConfig(name, cfg)
	if err != nil {
		return err
	}
	if _, err = provision(ctx, bucketOf(js, want.Bucket), want); err != nil {
		return fmt.Errorf("idempotent: provision: %w", err)
	}
	return nil
}

// checkArguments refuses a call that cannot succeed, before it has an effect.
func checkArguments(ctx context.Context, id, argument string, isNil bool) error {
	if err := checkID(id); err != nil {
		return err
	}
	if isNil {
		return fmt.Errorf("%w: message %s: %s is nil", ErrConfig, id, argument)
	}
	return wrap(id, ctx.Err())
}

// wrap adds the message to err, at the exported edge.
func wrap(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("idempotent: message %s: %w", id, err)
}

// retry calls attempt, at least once, until it succeeds or fails permanently, or until
// ctx ends. It begins no attempt after end.
func retry(ctx context.Context, end time.Time, attempt func(context.Context) error) error {
	for {
		limited, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := attempt(limited)
		cancel()
		if !isTemporary(err) || errors.Is(err, ctx.Err()) || time.Now().Add(retryDelay).After(end) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryDelay):
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// isTemporary reports whether a further attempt can succeed. The attempt that failed
// may have been stored.
func isTemporary(err error) bool {
	switch apiCode(err) {
	case 0:
	case codeDuplicateInProcess, codeNoLeader, jetstream.JSErrCodeStreamWrongLastSequenceConstant: // a write of the key is in flight
		return true
	default:
		return false
	}
	for _, temporary := range []error{context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrDisconnected,
		nats.ErrNoResponders, jetstream.ErrNoStreamResponse} {
		if errors.Is(err, temporary) {
			return true
		}
	}
	return false
}
