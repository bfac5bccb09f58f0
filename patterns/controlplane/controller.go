package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Controller is one of any number of processes of which one at a time says what
// is desired.
type Controller struct {
	cfg  Config
	js   jetstream.JetStream
	kv   jetstream.KeyValue
	name string
	ran  atomic.Bool
}

// NewController makes a candidate called name. It is not active before Run.
func NewController(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Controller, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	if err != nil {
		return nil, err
	}
	kv, err := bucket(ctx, js, cfg)
	if err != nil {
		return nil, err
	}
	return &Controller{cfg: cfg, js: js, kv: kv, name: name}, nil
}

// Run waits for its turn, and calls lead each time this controller becomes the
// active one, with a ctx that ends when it no longer is. It returns nil when ctx
// ends, having given its turn to the others, or lead's error. It may be called once.
func (c *Controller) Run(ctx context.Context, lead func(ctx context.Context, t *Term) error) error {
	if c.ran.Swap(true) {
		return ErrTwice
	}
	if lead == nil {
		return fmt.Errorf("%w: Run needs a function to lead", ErrConfig)
	}
	try := time.NewTicker(c.cfg.Lease / 3)
	defer try.Stop()
	for ctx.Err() == nil {
		token := fmt.Sprintf("%s %d", c.name, time.Now().UnixNano()) // tells this term from the others, its own earlier ones too
		rev, err := c.claim(ctx, token)
		switch {
		case err == nil:
			if err := c.term(ctx, token, rev, lead); err != nil {
				return err
			}
		case c.js.Conn().IsClosed():
			return fmt.Errorf("controlplane: claim the lease: %w", nats.ErrConnectionClosed)
		case !errors.Is(err, jetstream.ErrKeyExists):
			c.cfg.Log.Warn("lease not claimed", "controller", c.name, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-try.C:
		}
	}
	return nil
}

func (c *Controller) claim(ctx context.Context, token string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Lease/3)
	defer cancel()
	return c.kv.Create(ctx, leaseKey, []byte(token), jetstream.KeyTTL(c.cfg.Lease))
}

// term leads until ctx ends, the lease cannot be kept, or lead returns.
func (c *Controller) term(ctx context.Context, token string, rev uint64, lead func(ctx context.Context, t *Term) error) error {
	t := &Term{c: c, token: token, lease: rev, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- lead(ctx, t) }()
	renew := time.NewTicker(c.cfg.Lease / 3)
	defer renew.Stop()
	kept := time.Now()
	for {
		select {
		case err := <-done:
			t.resign(context.WithoutCancel(ctx))
			if err != nil && ctx.Err() == nil {
				return err
			}
			return nil
		case <-renew.C:
			err := t.renew(ctx)
			if err == nil {
				kept = time.Now()
			} else if errors.Is(err, ErrFenced) || time.Since(kept) >= c.cfg.Lease {
				c.cfg.Log.Warn("lease lost", "controller", c.name, "err", err)
				cancel() // and lead returns
			}
		}
	}
}

// Reports returns what the agents of a service last told, by instance.
func Reports(ctx context.Context, js jetstream.JetStream, service string, cfg Config) ([]Report, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(service)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	kv, err := bucket(ctx, js, cfg)
	if err != nil {
		return nil, err
	}
	w, err := kv.Watch(ctx, observed+service+".*", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("controlplane: reports of %s: %w", service, err)
	}
	defer func() { _ = w.Stop() }() // the answer is complete, or the error told
	var all []Report
	for {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("controlplane: reports of %s: %w", service, ctx.Err())
		case entry, ok := <-w.Updates():
			if !ok {
				return nil, fmt.Errorf("controlplane: reports of %s: %w", service, nats.ErrConnectionClosed)
			}
			if entry == nil {
				slices.SortFunc(all, func(a, b Report) int { return strings.Compare(a.Instance, b.Instance) })
				return all, nil
			}
			var r Report
			if err := json.Unmarshal(entry.Value(), &r); err != nil {
				return nil, fmt.Errorf("controlplane: report %s: %w", entry.Key(), err)
			}
			all = append(all, r)
		}
	}
}
