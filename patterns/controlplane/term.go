package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Term is a controller's time as the active one. Whatever it writes carries the
// lease as a fence: the server refuses it once the lease has ended or passed on,
// however late the controller notices.
type Term struct {
	c     *Controller
	token string
	turn  chan struct{} // holds one token: writes go one after the other, as each may move the lease
	lease uint64        // the revision of the lease that this term holds; for who has the token
}

// write publishes to key unless the lease is no longer this term's.
func (t *Term) write(ctx context.Context, key string, data []byte, opts ...jetstream.PublishOpt) (uint64, error) {
	select {
	case <-t.turn:
		defer func() { t.turn <- struct{}{} }()
	case <-ctx.Done():
		return 0, fmt.Errorf("controlplane: write %s: %w", key, ctx.Err())
	}
	seq, err := t.publish(ctx, key, data, opts)
	if errors.Is(err, ErrFenced) && t.moved(ctx) {
		seq, err = t.publish(ctx, key, data, opts)
	}
	return seq, err
}

func (t *Term) publish(ctx context.Context, key string, data []byte, opts []jetstream.PublishOpt) (uint64, error) {
	bucket := "$KV." + t.c.cfg.Bucket + "."
	opts = append(slices.Clip(opts), jetstream.WithExpectLastSequenceForSubject(t.lease, bucket+leaseKey))
	ack, err := t.c.js.PublishMsg(ctx, &nats.Msg{Subject: bucket + key, Data: data, Header: nats.Header{}}, opts...)
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == 10164) {
		return 0, fmt.Errorf("%w: %s", ErrFenced, key)
	}
	if err != nil {
		return 0, fmt.Errorf("controlplane: write %s: %w", key, err)
	}
	if key == leaseKey {
		t.lease = ack.Sequence
	}
	return ack.Sequence, nil
}

// moved reports whether the lease is still this term's, but at a revision that it
// has not heard of: a renewal whose acknowledgement was lost. If what it reads is
// stale, the server refuses the next write too.
func (t *Term) moved(ctx context.Context) bool {
	e, err := t.c.kv.Get(ctx, leaseKey)
	if err != nil || string(e.Value()) != t.token || e.Revision() == t.lease {
		return false
	}
	t.lease = e.Revision()
	return true
}

func (t *Term) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, t.c.cfg.Lease/3)
	defer cancel()
	_, err := t.write(ctx, leaseKey, []byte(t.token), jetstream.WithMsgTTL(t.c.cfg.Lease))
	return err
}

// resign ends the lease now, so that another need not wait for it to run out.
func (t *Term) resign(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var err error
	select {
	case <-t.turn:
		err = t.c.kv.Purge(ctx, leaseKey, jetstream.LastRevision(t.lease))
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		t.c.cfg.Log.Warn("lease not given back; it will run out", "controller", t.c.name, "err", err)
	}
}

// Set says what is desired of an instance, or of the whole service if instance is
// empty, and returns the generation. It fails with [ErrFenced] if the term is over.
func (t *Term) Set(ctx context.Context, service, instance string, d Desired) (uint64, error) {
	key, err := keyOf(desired, service, instance)
	if err == nil {
		err = d.check()
	}
	if err != nil {
		return 0, err
	}
	data, err := encode(d)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return t.write(ctx, key, data)
}
