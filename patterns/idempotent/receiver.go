package idempotent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What a record says.
const (
	claimed  = "claimed" // somebody is at it, for a Lease at most: then the server forgets the record
	finished = "done"    // and by which claim
)

// Receiver records in a bucket what has been done, for effects that are anywhere.
// Record and effect are two writes, so a crash between them repeats the effect.
type Receiver struct {
	kv    jetstream.KeyValue
	lease time.Duration
}

// NewReceiver returns the receiver called name, and finds or creates its bucket.
// Those of one name share their record; another name is another effect.
func NewReceiver(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Receiver, error) {
	want, err := Bucket(name, cfg)
	if err != nil {
		return nil, err
	}
	cfg, _ = cfg.normal() // it is normal already
	kv, err := bucket(ctx, js, want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("idempotent: bucket %s: %w", want.Bucket, err)
	}
	return &Receiver{kv, cfg.Lease}, nil
}

// Once calls effect unless that was done under this id before, and returns whether
// it was done now. What else may happen:
//
//	effect returns an error    returned; the message is free for the next try
//	effect panics              so does Once; the message is busy until the Lease ends
//	another is at it           ErrBusy
//	no record could be made    done, and ErrInDoubt: a later delivery may repeat it
//
// The effect must heed its ctx, which ends with the Lease: then another may begin.
func (r *Receiver) Once(ctx context.Context, id string, effect func(ctx context.Context) error) (done bool, err error) {
	if err := needs(ctx, id, effect != nil); err != nil {
		return false, err
	}
	lease, cancel := context.WithTimeout(ctx, r.lease) // from before the claim, so it ends before it
	defer cancel()
	rev, err := r.claim(lease, id)
	if err != nil || rev == 0 {
		return false, failed(id, err)
	}
	if err := effect(lease); err != nil {
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), try)
		defer cancel()
		_ = r.kv.Delete(free, id, jetstream.LastRevision(rev)) // or the end of the Lease frees it
		return false, err
	}
	if err := r.record(ctx, lease, id, rev); err != nil {
		return true, failed(id, fmt.Errorf("%w: it is done, but no record of it: %w", ErrInDoubt, err))
	}
	return true, nil
}

// claim returns the revision of our claim, or zero if there is nothing left to do.
func (r *Receiver) claim(ctx context.Context, id string) (uint64, error) {
	ttl := (r.lease + time.Second - 1).Truncate(time.Second) // the server counts whole seconds, and would end it early
	rev, err := r.kv.Create(ctx, id, []byte(claimed), jetstream.KeyTTL(ttl))
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return rev, err
	}
	// What is read may be old. Done stays done, and whatever else it is, wait.
	e, err := r.kv.Get(ctx, id)
	switch {
	case err == nil && strings.HasPrefix(string(e.Value()), finished):
		return 0, nil
	case err == nil || errors.Is(err, jetstream.ErrKeyNotFound):
		return 0, ErrBusy
	}
	return 0, err
}

// record makes done what was claimed, in which state it has no time to live but the
// bucket's. The effect took place, so it tries until the claim has ended.
func (r *Receiver) record(ctx, lease context.Context, id string, rev uint64) error {
	end, _ := lease.Deadline()
	ours := fmt.Sprint(finished, " ", rev)
	for {
		once, cancel := context.WithTimeout(context.WithoutCancel(ctx), try)
		_, err := r.kv.Update(once, id, []byte(ours), rev)
		if errors.Is(err, jetstream.ErrKeyExists) { // the claim has ended, or an answer was lost
			if e, lost := r.kv.Get(once, id); lost == nil && string(e.Value()) == ours {
				err = nil
			}
		}
		cancel()
		if err == nil || !unsettled(err) || time.Now().After(end) {
			return err
		}
		time.Sleep(pause)
	}
}
