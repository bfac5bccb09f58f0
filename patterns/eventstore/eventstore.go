package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrConfig reports a Config field that makes no sense.
	ErrConfig = errors.New("eventstore: bad config")
	// ErrMismatch reports a stream or consumer that exists and is not as needed.
	ErrMismatch = errors.New("eventstore: exists, and is different")
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("eventstore: bad id")
	// ErrEvent reports an event that cannot be stored, or was not stored by this package.
	ErrEvent = errors.New("eventstore: bad event")
	// ErrTooLarge reports an Append that the server would not take in one piece.
	ErrTooLarge = errors.New("eventstore: too large")
	// ErrGap reports a history with a hole, which only deletion behind the store's back makes.
	ErrGap = errors.New("eventstore: events are missing")
)

// Config is shared by all who use a store. The zero Config is ready to use.
type Config struct {
	Replicas int                   // of the stream; 1 if zero
	Storage  jetstream.StorageType // of the stream; file if zero
	Bind     bool                  // never create the stream, nor a durable
	Metadata map[string]string     // put on what New creates
	Log      *slog.Logger          // what a Subscription skips or tries again; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Replicas < 1 || c.Replicas > 5 {
		return c, fmt.Errorf("%w: Replicas is %d; use 1 to 5", ErrConfig, c.Replicas)
	}
	return c, nil
}

// Store holds the histories of many entities of one kind, such as "orders".
type Store struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	name   string
	cfg    Config
}

// New returns the store of that name once its stream exists, creating it unless
// cfg.Bind. The context bounds this call only.
func New(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Store, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	want, err := Stream(name, cfg)
	if err != nil {
		return nil, err
	}
	s, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, edge(err, "open "+name)
	}
	return &Store{js: js, stream: s, name: name, cfg: cfg}, nil
}

// Stream returns the configuration of the stream of the store of that name. When
// a limit is put on it, appends are refused and nothing old is discarded.
func Stream(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	return jetstream.StreamConfig{
		Name:        strings.ToUpper(name),
		Description: "events of each of the " + name + ", and the latest snapshot of each",
		Subjects:    []string{name + ".event.*.*.*", name + ".snapshot.*"},
		Discard:     jetstream.DiscardNew, MaxMsgsPerSubject: -1,
		AllowAtomicPublish: true, // several events or none
		AllowDirect:        true, // any replica serves Load
		AllowRollup:        true, // a snapshot replaces the one before
		DenyDelete:         true, // an event stays; only Erase removes, and only all of an entity
		Replicas:           cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
	}, err
}

// Provision creates or updates the stream to what Stream returns. It is for whoever
// deploys; nothing else here changes a stream that exists.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	want, err := Stream(name, cfg)
	if err != nil {
		return err
	}
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) })
	return edge(err, "provision "+name)
}

// edge says, once, whose error it is and what was being done.
func edge(err error, doing string) error {
	if err == nil || strings.HasPrefix(err.Error(), "eventstore: ") {
		return err
	}
	return fmt.Errorf("eventstore: %s: %w", doing, err)
}

// Subjects. One for each event: the server finds what has a subject of its own by
// its index, at one cost in a store of any size, and would scan for the rest.
func (s *Store) events(id string) string        { return s.name + ".event." + id + ".>" }
func (s *Store) nth(id string, n uint64) string { return s.event(id, strconv.FormatUint(n, 10), "*") }
func (s *Store) event(id, number, kind string) string {
	return strings.Join([]string{s.name, "event", id, number, kind}, ".")
}
func (s *Store) snapshot(id string) string { return s.name + ".snapshot." + id }
