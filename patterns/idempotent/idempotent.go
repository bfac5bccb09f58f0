package idempotent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("idempotent: bad id")
	// ErrConfig reports a Config, or a parameter, that makes no sense.
	ErrConfig = errors.New("idempotent: bad config")
	// ErrMismatch reports a stream or bucket that exists with other settings.
	ErrMismatch = errors.New("idempotent: exists with other settings; change Config or call Provision")
	// ErrBusy reports that another holds the message: nak it with a delay, or leave it
	// to AckWait, and it will have been done, or be free.
	ErrBusy = errors.New("idempotent: another is at it")
	// ErrInDoubt reports an effect that took place, as far as can be known, without
	// a record of it: a further delivery may repeat it.
	ErrInDoubt = errors.New("idempotent: in doubt")
)

// Config tunes the receivers. The zero Config is ready to use.
type Config struct {
	Keep  time.Duration // how long it is remembered that a message was done, longer than it can be delivered again; 7 days if zero
	Lease time.Duration // Receiver: the longest an effect may take, and how long the message of one that died is busy; 30s if zero, at least 1s

	Replicas int                   // Receiver: of the bucket; 1 if zero
	Storage  jetstream.StorageType // Receiver: of the bucket; file if zero
	Bind     bool                  // never create, only use what exists
	Metadata map[string]string     // Receiver: put on the bucket that is created
}

func (c Config) normal() (Config, error) {
	err := errors.Join(
		fill("Keep", &c.Keep, 7*24*time.Hour, time.Second),
		fill("Lease", &c.Lease, min(30*time.Second, max(c.Keep, time.Second)), time.Second),
		fill("Replicas", &c.Replicas, 1, 1),
	)
	if c.Lease > c.Keep {
		err = errors.Join(err, fmt.Errorf("%w: Lease is %v, longer than Keep %v", ErrConfig, c.Lease, c.Keep))
	}
	return c, err
}

func fill[T ~int | ~int64](field string, v *T, zero, least T) error {
	if *v == 0 {
		*v = zero
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v, less than %v", ErrConfig, field, *v, least)
	}
	return nil
}

// needs refuses what cannot work, before anything has happened.
func needs(ctx context.Context, id string, what bool) error {
	if err := checkID(id); err != nil {
		return err
	}
	if !what {
		return fmt.Errorf("%w: message %s has no effect: it is nil", ErrConfig, id)
	}
	return failed(id, ctx.Err())
}

// failed says whose error it is, at the exported edge.
func failed(id string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("idempotent: message %s: %w", id, err)
}
