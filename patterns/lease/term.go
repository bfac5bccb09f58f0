package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Term is the time in which one candidate is the leader.
type Term struct {
	c        *Candidate
	id       string // the value of the lease key during this term
	token    uint64
	deadline time.Time   // when lead must return
	revision chan uint64 // holds the revision of the lease key; a write takes it, so that there is one at a time
}

// Token returns the fencing token: it is higher than the tokens of all earlier terms.
// A store that is not in the bucket must refuse a token lower than one it has seen.
func (t *Term) Token() uint64 { return t.token }

// Bucket returns the name of the bucket to which Put writes.
func (t *Term) Bucket() string { return t.c.cfg.Bucket }

// Put writes a key of the bucket and returns its revision. The server refuses it with
// [ErrFenced] if the lease has expired or belongs to another term. It takes at most
// TTL/3. After another error the key can have been written.
func (t *Term) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if key == t.c.name {
		return 0, fmt.Errorf("%w: key %s is the lease; use another key", ErrConfig, key)
	}
	for token := range strings.SplitSeq(key, ".") {
		if err := checkID(token); err != nil {
			return 0, fmt.Errorf("%w in key %.80q", err, key)
		}
	}
	return t.write(ctx, key, value)
}

// write publishes to key on the condition that the lease key has the revision of this
// term.
func (t *Term) write(ctx context.Context, key string, value []byte, opts ...jetstream.PublishOpt) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, t.c.cfg.TTL/3)
	defer cancel()
	var revision uint64
	select {
	case revision = <-t.revision:
	case <-ctx.Done():
		return 0, fmt.Errorf("lease: write %s: %w", key, ctx.Err())
	}
	defer func() { t.revision <- revision }()
	written, err := t.publish(ctx, revision, key, value, opts)
	if renewed := t.renewedRevision(ctx, err); renewed > revision {
		revision = renewed
		written, err = t.publish(ctx, revision, key, value, opts)
	}
	if isConflict(err) {
		return 0, fmt.Errorf("%w: key %s", ErrFenced, key)
	}
	if err != nil {
		return 0, fmt.Errorf("lease: write %s: %w", key, err)
	}
	if key == t.c.name {
		revision = written
	}
	return written, nil
}

func (t *Term) publish(ctx context.Context, revision uint64, key string, value []byte, opts []jetstream.PublishOpt) (uint64, error) {
	lease, _ := t.c.subject(t.c.name)
	_, subject := t.c.subject(key)
	fence := jetstream.WithExpectLastSequenceForSubject(revision, lease)
	ack, err := t.c.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: value, Header: nats.Header{}}, append(opts, fence)...)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// renewedRevision returns the revision of the lease key after a conflict, if it is still
// of this term: the ack of a renewal was lost. Otherwise it returns 0. A stale read is
// harmless: the server refuses the next write too.
func (t *Term) renewedRevision(ctx context.Context, err error) uint64 {
	if !isConflict(err) {
		return 0
	}
	entry, err := t.c.kv.Get(ctx, t.c.name)
	if err != nil || string(entry.Value()) != t.id {
		return 0
	}
	return entry.Revision()
}

// run calls lead, and renews the lease until lead has returned.
func (t *Term) run(ctx context.Context, lead func(context.Context, *Term) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	expire := time.AfterFunc(time.Until(t.deadline), end)
	defer expire.Stop()
	done := make(chan error, 1)
	go func() { done <- callHandler(ctx, t.c.cfg.Log, t.c.name, lead, t) }()
	tick := time.NewTicker(t.c.cfg.TTL / 3)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			t.resign()
			if ctx.Err() != nil {
				return nil
			}
			return err
		case <-tick.C:
			if time.Now().After(t.deadline) {
				continue // the term is over: wait for lead
			}
			err := t.renew(ctx)
			if err != nil {
				t.c.cfg.Log.Warn("lease: not renewed", "lease", t.c.name, "instance", t.c.instance, "err", err)
			}
			if errors.Is(err, ErrFenced) {
				t.deadline = time.Now()
			}
			expire.Reset(time.Until(t.deadline))
		}
	}
}

// renew also works after ctx has ended: the leader keeps the lease until lead returns.
func (t *Term) renew(ctx context.Context) error {
	start := time.Now()
	_, err := t.write(context.WithoutCancel(ctx), t.c.name, []byte(t.id), jetstream.WithMsgTTL(t.c.cfg.TTL))
	if err == nil {
		t.extend(start)
	}
	return err
}

// extend sets the deadline of a lease that was claimed or renewed at start. It expires
// at the earliest TTL after start; a tenth of that is left for lead to return.
func (t *Term) extend(start time.Time) { t.deadline = start.Add(t.c.cfg.TTL - t.c.cfg.TTL/10) }

// resign deletes the lease, so that another candidate need not wait until it expires.
func (t *Term) resign() {
	revision := <-t.revision
	defer func() { t.revision <- revision }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := t.c.kv.Purge(ctx, t.c.name, jetstream.LastRevision(revision)); err != nil {
		t.c.cfg.Log.Warn("lease: not resigned; it expires", "lease", t.c.name, "instance", t.c.instance, "err", err)
	}
}
