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

// Config configures a [Relay]. The zero Config is ready to use.
type Config struct {
	Poll       time.Duration // interval of reading the table without a notification; 1s if zero
	Batch      int           // messages read at once; 256 if zero
	MaxAge     time.Duration // age at which published rows are deleted; at once if zero
	Duplicates time.Duration // duplicate window of the streams, or the shortest of them; 2m if zero
	Log        *slog.Logger  // discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(
		setDefault("Poll", &c.Poll, time.Second, time.Millisecond), setDefault("Batch", &c.Batch, 256, 1),
		setDefault("MaxAge", &c.MaxAge, 0, 0), setDefault("Duplicates", &c.Duplicates, 2*time.Minute, time.Second),
	)
	if c.Batch > 2048 {
		err = errors.Join(err, fmt.Errorf("%w: Batch is %d; use at most 2048", ErrConfig, c.Batch))
	}
	return c, err
}

// Publisher is the part of jetstream.JetStream that a Relay uses.
type Publisher interface {
	PublishMsgAsync(msg *nats.Msg, opts ...jetstream.PublishOpt) (jetstream.PubAckFuture, error)
}

// Relay publishes the messages of the outbox.
type Relay struct {
	cfg      Config
	db       *sql.DB
	js       Publisher
	name     string
	nc       *nats.Conn
	sub      *nats.Subscription
	notified chan struct{} // one notification is as good as many
	ran      atomic.Bool
}

// NewRelay returns the relay called name. It publishes with js, of the connection nc,
// and receives the notifications of [Notify] on nc. The context bounds this call only.
func NewRelay(ctx context.Context, db *sql.DB, nc *nats.Conn, js Publisher, name string, cfg Config) (*Relay, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	if err := checkID(name); err != nil {
		return nil, err
	}
	if _, err := db.ExecContext(ctx, `UPDATE outbox SET published = published WHERE id < 0`); err != nil {
		return nil, fmt.Errorf("outbox: relay %s: the table outbox is missing or not writable: %w", name, err)
	}
	r := &Relay{cfg: cfg, db: db, js: js, name: name, nc: nc, notified: make(chan struct{}, 1)}
	r.sub, err = nc.Subscribe(notifySubject(name), func(*nats.Msg) {
		select {
		case r.notified <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, fmt.Errorf("outbox: relay %s: %w", name, err)
	}
	return r, nil
}

// Run publishes until ctx ends, marks what it has published, and returns nil. It
// returns an error only if the connection is closed. Database errors are retried. A
// message that cannot be published is logged and retried; it blocks only its key. Run
// may be called once.
func (r *Relay) Run(ctx context.Context) error {
	if r.ran.Swap(true) {
		return ErrAlreadyRun
	}
	defer func() { _ = r.sub.Unsubscribe() }() // fails only if the connection is closed
	poll := time.NewTicker(r.cfg.Poll)
	defer poll.Stop()
	for ctx.Err() == nil {
		more, err := r.publishAll(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, nats.ErrConnectionClosed), r.nc.IsClosed():
			return fmt.Errorf("outbox: relay %s: %w", r.name, nats.ErrConnectionClosed)
		case err != nil:
			r.cfg.Log.Warn("outbox: retry at the next poll", "relay", r.name, "err", err, "poll", r.cfg.Poll)
		case more:
			continue
		}
		select {
		case <-ctx.Done():
		case <-poll.C:
		case <-r.notified:
		}
	}
	return nil
}
