package idempotent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Values of a record in the bucket.
const (
	valueClaimed = "claimed" // expires after the Lease
	valueDone    = "done"    // followed by the revision of the claim
)

// Receiver records in a bucket which messages are done. The effect can be anywhere.
// Record and effect are two writes: a crash between them repeats the effect.
type Receiver struct {
	js    jetstream.JetStream
	kv    jetstream.KeyValue
	lease time.Duration
}

// NewReceiver returns the receiver name, and finds or creates its bucket done-<name>.
// Receivers with the same name share their records.
func NewReceiver(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Receiver, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	want, err := BucketConfig(name, cfg)
	if err != nil {
		return nil, err
	}
	kv, err := ensure(ctx, bucketOf(js, want.Bucket), want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("idempotent: receiver %s: %w", name, err)
	}
	return &Receiver{js, kv, cfg.Lease}, nil
}

// Once calls effect unless the message id is done, and returns whether the effect took
// place now. Other results:
//
//	effect returns an error      Once returns it; the message is free for a retry
//	effect panics                Once panics; the message is busy until the Lease ends
//	another receiver claimed it  ErrBusy
//	the record was not stored    true and ErrInDoubt: a redelivery can repeat the effect
//
// The effect must end with its ctx, which ends with the Lease. Then another receiver can
// claim the message.
func (r *Receiver) Once(ctx context.Context, id string, effect func(ctx context.Context) error) (done bool, err error) {
	if err := checkArguments(ctx, id, "effect", effect == nil); err != nil {
		return false, err
	}
	lease, cancel := context.WithTimeout(ctx, r.lease) // begins before the claim, so it ends first
	defer cancel()
	claim, err := r.claim(lease, id)
	if err != nil || claim == 0 {
		return false, wrap(id, err)
	}
	if err := effect(lease); err != nil {
		release, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
		defer cancel()
		_ = r.kv.Delete(release, id, jetstream.LastRevision(claim)) // if it fails, the claim expires
		return false, err
	}
	if err := r.record(lease, id, claim); err != nil {
		return true, wrap(id, fmt.Errorf("%w: the effect took place, but is not recorded: %w", ErrInDoubt, err))
	}
	return true, nil
}

// claim returns the revision of a new claim, or 0 if the message is done.
func (r *Receiver) claim(ctx context.Context, id string) (uint64, error) {
	ttl := (r.lease + time.Second - 1).Truncate(time.Second) // the server ignores fractions: round up
	claim, err := r.kv.Create(ctx, id, []byte(valueClaimed), jetstream.KeyTTL(ttl))
	if !isConflict(err) {
		return claim, err
	}
	// A stale read is harmless: done is final, and every other value means a retry.
	entry, err := r.kv.Get(ctx, id)
	if err == nil && strings.HasPrefix(string(entry.Value()), valueDone) {
		return 0, nil
	}
	if err == nil || errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, ErrBusy
	}
	return 0, err
}

// record replaces the claim by a record that expires with the bucket's MaxAge. The
// effect took place, so record goes on when ctx is canceled, until the Lease ends.
func (r *Receiver) record(lease context.Context, id string, claim uint64) error {
	end, _ := lease.Deadline()
	value := fmt.Sprint(valueDone, " ", claim)
	return retry(context.WithoutCancel(lease), end, func(ctx context.Context) error {
		_, err := r.kv.Update(ctx, id, []byte(value), claim)
		if !isConflict(err) {
			return err
		}
		// The claim has expired, or an earlier attempt was stored and its reply was lost.
		last, readErr := lastMessage(ctx, r.js, "KV_"+r.kv.Bucket(), "$KV."+r.kv.Bucket()+"."+id)
		if readErr != nil {
			return readErr
		}
		if last != nil && string(last.Data) == value {
			return nil
		}
		return err
	})
}
