package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Config tunes a [Relay]. The zero Config is ready to use.
type Config struct {
	Poll   time.Duration // how often it looks, unless it is woken; 1s if zero
	Batch  int           // messages it reads at a time; 256 if zero
	Keep   time.Duration // how long what was published stays in the table; deleted at once if zero
	Window time.Duration // the streams' window of duplicates, or the shortest of them; 2m if zero, as theirs
	Log    *slog.Logger  // discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Poll, c.Batch, c.Window = cmp.Or(c.Poll, time.Second), cmp.Or(c.Batch, 256), cmp.Or(c.Window, 2*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Poll < time.Millisecond || c.Window < time.Second || c.Keep < 0 {
		return c, fmt.Errorf("%w: Poll %v is at least 1ms, Window %v at least 1s, and Keep %v not negative", ErrConfig, c.Poll, c.Window, c.Keep)
	}
	if c.Batch < 1 || c.Batch > 2048 {
		return c, fmt.Errorf("%w: Batch %d; from 1 to 2048", ErrConfig, c.Batch)
	}
	return c, nil
}

// Publisher is what a Relay needs of a jetstream.JetStream.
type Publisher interface {
	PublishMsgAsync(msg *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error)
}

// Relay publishes what is in the outbox.
type Relay struct {
	cfg   Config
	db    *sql.DB
	js    Publisher
	name  string
	nc    *nats.Conn
	woken *nats.Subscription
	wakes chan struct{} // one wakes as well as many
	ran   atomic.Bool
}

// NewRelay makes the relay called name, which publishes by js, of nc, and which [Wake]
// wakes on nc. The context bounds this call only.
func NewRelay(ctx context.Context, db *sql.DB, nc *nats.Conn, js Publisher, name string, cfg Config) (*Relay, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	if err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, `UPDATE outbox SET sent = sent WHERE id < 0`); err != nil {
		return nil, fmt.Errorf("outbox: relay %s: no outbox there, or not to be written: %w", name, err)
	}
	r := &Relay{cfg: cfg, db: db, js: js, name: name, nc: nc, wakes: make(chan struct{}, 1)}
	r.woken, err = nc.Subscribe(wakes(name), func(*nats.Msg) {
		select {
		case r.wakes <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: relay %s: %w", name, err)
	}
	return r, nil
}

// Run publishes until ctx ends, notes what it has published, and returns nil; before
// that, it returns only if the connection is closed. A database that is away is asked
// again. What cannot be published is logged and tried again; it holds up its key, and
// no other. It may be called once.
func (r *Relay) Run(ctx context.Context) error {
	if r.ran.Swap(true) {
		return ErrTwice
	}
	defer func() { _ = r.woken.Unsubscribe() }() // fails only when the connection is gone
	poll := time.NewTicker(r.cfg.Poll)
	defer poll.Stop()
	for ctx.Err() == nil {
		more, err := r.pass(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, nats.ErrConnectionClosed), r.nc.IsClosed():
			return fmt.Errorf("outbox: relay %s: %w", r.name, nats.ErrConnectionClosed)
		case err != nil:
			r.cfg.Log.Warn("outbox: interrupted", "relay", r.name, "err", err, "again in", r.cfg.Poll)
		case more:
			continue
		}
		select {
		case <-ctx.Done():
		case <-poll.C:
		case <-r.wakes:
		}
	}
	return nil
}
