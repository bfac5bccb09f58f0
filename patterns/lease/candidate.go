package lease

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Candidate is one of the processes that compete for a lease. At most one of them is
// the leader.
type Candidate struct {
	cfg      Config
	js       jetstream.JetStream
	kv       jetstream.KeyValue
	name     string // of the lease, and its key
	instance string
	ran      atomic.Bool
}

// NewCandidate returns a candidate for the lease name. The key of the lease shows the
// name of the instance that leads. The ctx is for this call only.
func NewCandidate(ctx context.Context, js jetstream.JetStream, name, instance string, cfg Config) (*Candidate, error) {
	cfg, err := cfg.normal()
	if err = errors.Join(err, checkID(name), checkID(instance)); err != nil {
		return nil, err
	}
	want, _ := BucketConfig(cfg) // cfg is checked
	kv, err := ensure(ctx, bucketOf(js, want.Bucket), want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("lease: candidate %s of %s: %w", instance, name, err)
	}
	return &Candidate{cfg: cfg, js: js, kv: kv, name: name, instance: instance}, nil
}

// Run claims the lease whenever it is free, and calls lead for each term. The ctx of
// lead ends with ctx, or TTL/10 before another candidate can claim the lease. lead must
// return then. Run returns an error of lead, unless its ctx had ended. When ctx ends,
// Run waits for lead, resigns and returns nil. It may be called once.
func (c *Candidate) Run(ctx context.Context, lead func(ctx context.Context, t *Term) error) error {
	if c.ran.Swap(true) {
		return ErrAlreadyRun
	}
	if lead == nil {
		return fmt.Errorf("%w: Run needs a function that leads", ErrConfig)
	}
	retry := time.NewTicker(c.cfg.TTL / 3)
	defer retry.Stop()
	for ctx.Err() == nil {
		t, err := c.claim(ctx)
		switch {
		case err == nil:
			if err := t.run(ctx, lead); err != nil {
				return err
			}
		case c.js.Conn().IsClosed():
			return fmt.Errorf("lease: claim %s: %w", c.name, nats.ErrConnectionClosed)
		case !errors.Is(err, jetstream.ErrKeyExists):
			c.cfg.Log.Warn("lease: not claimed", "lease", c.name, "instance", c.instance, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-retry.C:
		}
	}
	return nil
}

// claim creates the key of the lease, which fails while another term holds it.
func (c *Candidate) claim(ctx context.Context) (*Term, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, c.cfg.TTL/3)
	defer cancel()
	id := fmt.Sprintf("%s %d", c.instance, start.UnixNano()) // differs from other terms, also of this instance
	revision, err := c.kv.Create(ctx, c.name, []byte(id), jetstream.KeyTTL(c.cfg.TTL))
	if err != nil {
		return nil, err
	}
	t := &Term{c: c, id: id, token: revision, revision: make(chan uint64, 1)}
	t.extend(start)
	t.revision <- revision
	return t, nil
}

// subject returns the subject of a key, and the one to publish to, which differs for a
// bucket in another JetStream domain.
func (c *Candidate) subject(key string) (stored, published string) {
	stored = "$KV." + c.cfg.Bucket + "." + key
	switch o := c.js.Options(); {
	case o.Domain != "":
		return stored, "$JS." + o.Domain + ".API." + stored
	case o.APIPrefix != "":
		return stored, strings.TrimSuffix(o.APIPrefix, ".") + "." + stored
	default:
		return stored, stored
	}
}
