package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("deadletter: bad id")
	// ErrConfig reports a Config, or an argument, that makes no sense.
	ErrConfig = errors.New("deadletter: bad config")
	// ErrMismatch reports a stream or consumer that exists with other settings.
	ErrMismatch = errors.New("deadletter: exists with other settings; change Config or call Provision")
	// ErrTwice reports a second call of Run.
	ErrTwice = errors.New("deadletter: Run may be called once; make a new keeper")
	// ErrPoison is what a [Handler] wraps when no further try can help.
	ErrPoison = errors.New("deadletter: poison")
	// ErrNoLetter reports an id under which nothing is kept, or no longer.
	ErrNoLetter = errors.New("deadletter: no such letter")
	// ErrSettled reports a letter that was requeued or purged before.
	ErrSettled = errors.New("deadletter: requeued or purged before")
	// ErrGone reports a letter whose message was gone before it could be kept.
	ErrGone = errors.New("deadletter: the message is gone; fix must give it a subject and a body")
)

// Config tunes a dead letter channel. The zero Config is ready to use.
type Config struct {
	Tries   int           // deliveries before a message is a dead letter; 5 if zero
	Backoff time.Duration // wait after the first try, doubled after each, up to a minute; 1s if zero
	Keep    time.Duration // how long letters, and the marks of those settled, are kept; for ever if zero
	Log     *slog.Logger  // what nobody can be told otherwise; discarded if nil

	Replicas int                   // of the streams; 1 if zero
	Storage  jetstream.StorageType // of the streams; file if zero
	Bind     bool                  // never create, only use what exists
	Metadata map[string]string     // put on what is created
}

func (c Config) normal() (Config, error) {
	err := errors.Join(fill("Tries", &c.Tries, 5, 1), fill("Backoff", &c.Backoff, time.Second, time.Millisecond),
		fill("Replicas", &c.Replicas, 1, 1))
	if c.Keep < 0 || c.Keep > 0 && c.Keep < time.Second {
		err = errors.Join(err, fmt.Errorf("%w: Keep is %v; 0 for ever, or at least 1s", ErrConfig, c.Keep))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
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

// Stream returns the stream DEAD_<name>, in which each letter has a subject of its
// own: so that one that is stored again is refused, whenever that is.
func Stream(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	return jetstream.StreamConfig{
		Name: "DEAD_" + name, Subjects: []string{"dead." + name + ".*.*.*.*"}, MaxMsgsPerSubject: 1, MaxAge: cfg.Keep,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

// Channel is a dead letter channel. Any number of streams and consumers may share it.
type Channel struct {
	cfg  Config
	name string
	js   jetstream.JetStream
	dead jetstream.Stream
}

// NewChannel finds or creates the channel. The context bounds this call only.
func NewChannel(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Channel, error) {
	want, err := Stream(name, cfg)
	if err != nil {
		return nil, err
	}
	cfg, _ = cfg.normal()
	dead, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("deadletter: channel %s: %w", name, err)
	}
	return &Channel{cfg: cfg, name: name, js: js, dead: dead}, nil
}

// Provision creates the stream of a channel, or updates it to cfg; and for each of
// streams that a [Keeper] watches, what that needs. Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config, streams ...string) error {
	dead, err := Stream(name, cfg)
	if err != nil {
		return err
	}
	update := func(want jetstream.StreamConfig) error {
		_, err := callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) })
		if err != nil {
			return fmt.Errorf("deadletter: provision %s: %w", want.Name, err)
		}
		return nil
	}
	err = update(dead)
	for _, stream := range streams {
		advisories, keeper, bad := Advisories(stream, cfg)
		if err = errors.Join(err, bad); err != nil {
			break
		}
		if err = update(advisories); err != nil {
			break
		}
		_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) {
			return js.CreateOrUpdateConsumer(ctx, advisories.Name, keeper)
		})
		if err != nil {
			return fmt.Errorf("deadletter: provision the keeper of %s: %w", stream, err)
		}
	}
	return err
}

// Handler handles a message, given as it was sent but for Reply, which is empty.
// What it returns decides what becomes of it:
//
//	nil                acked
//	an error           tried again after a backoff; the last try: a dead letter
//	wraps ErrPoison    a dead letter at once
//	panics             as an error
//
// A handler may be given the same message twice; it must not mind.
type Handler func(ctx context.Context, msg *nats.Msg) error
