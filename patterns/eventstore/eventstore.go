package eventstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("eventstore: bad config")
	// ErrMismatch reports a stream or consumer with weaker settings.
	ErrMismatch = errors.New("eventstore: exists with other settings; change Config or call Provision")
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("eventstore: bad ID")
	// ErrEvent reports an event or snapshot that cannot be stored or read.
	ErrEvent = errors.New("eventstore: bad event")
	// ErrTooLarge reports events or a snapshot that exceed a limit of the server.
	ErrTooLarge = errors.New("eventstore: too large")
	// ErrGap reports a history with missing events: an operator has deleted them.
	ErrGap = errors.New("eventstore: events are missing")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("eventstore: Run was already called")
	// ErrPoison is for a Handler to return about an event that it can never handle.
	ErrPoison = errors.New("eventstore: poison message")
)

// Config is the same for all users of a store. The zero Config is ready to use.
type Config struct {
	Replicas int                   // of the stream; 1 if zero
	Storage  jetstream.StorageType // of the stream; file if zero
	MaxBytes int64                 // of the stream: Append fails when it is full; unlimited if zero
	Bind     bool                  // never create the stream or a durable consumer
	Metadata map[string]string     // of the stream and the durable consumers that New… creates
	Log      *slog.Logger          // failed and skipped events of a Subscription; nil discards
}

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(setDefault("Replicas", &c.Replicas, 1, 1, 5), setDefault("MaxBytes", &c.MaxBytes, 0, 0))
	return c, err
}

// StreamConfig returns the stream of the store with that name.
func StreamConfig(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.StreamConfig{
		Name: streamName(name), Subjects: []string{name + ".event.*.*.*", name + ".snapshot.*"},
		MaxBytes: cfg.MaxBytes, Discard: jetstream.DiscardNew, MaxMsgsPerSubject: -1,
		AllowAtomicPublish: true, // for an Append of several events
		AllowDirect:        true, // any replica serves Load
		AllowRollup:        true, // a snapshot replaces the one before
		DenyDelete:         true, // only Erase removes events, and only all of an entity
		Replicas:           cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
	}, errors.Join(err, checkID(name))
}

func streamName(name string) string { return strings.ToUpper(name) }

// Provision creates the stream of the store, or strengthens its settings to those of
// StreamConfig. Call it when you deploy. Nothing else here changes an existing stream.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	want, err := StreamConfig(name, cfg)
	if err != nil {
		return err
	}
	_, err = provision(ctx, streamOf(js, want.Name), want)
	return wrap(err, "provision "+name)
}

// Store stores the histories of many entities of one kind, for example "orders".
type Store struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	name   string
	cfg    Config
}

// New returns the store with that name. It creates the stream if it is missing,
// unless cfg.Bind is set. The context bounds this call only.
func New(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Store, error) {
	want, err := StreamConfig(name, cfg)
	if err != nil {
		return nil, err
	}
	stream, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, wrap(err, "open "+name)
	}
	cfg, err = cfg.normal()
	return &Store{js: js, stream: stream, name: name, cfg: cfg}, err
}

// wrap adds the operation to err, unless err is an error of this package.
func wrap(err error, operation string) error {
	for _, own := range []error{ErrConfig, ErrMismatch, ErrID, ErrEvent, ErrTooLarge, ErrGap} {
		if err == nil || errors.Is(err, own) {
			return err
		}
	}
	return fmt.Errorf("eventstore: %s: %w", operation, err)
}

// Each event has its own subject: the server finds it by its subject index in a
// stream of any size. It would scan the stream for events that share a subject.
func (s *Store) eventSubject(id string, n any, kind string) string {
	return fmt.Sprintf("%s.event.%s.%v.%s", s.name, id, n, kind)
}

func (s *Store) entitySubject(id string) string   { return s.name + ".event." + id + ".>" }
func (s *Store) snapshotSubject(id string) string { return s.name + ".snapshot." + id }

const (
	// Deleted is the type of a tombstone: the last event of a deleted entity. Append one
	// to delete an entity and keep its history. Erase removes the history too.
	Deleted       = "deleted"
	HeaderID      = "Event-Id"      // of an event; its other fields are in the subject, for filters
	HeaderVersion = "Event-Version" // of a snapshot: "N Seq"
)

// Version is the state of an entity after an event; zero without events. Use only
// versions that the store returned.
type Version struct {
	N   uint64 `json:"n"`   // counts the events of the entity, without gaps
	Seq uint64 `json:"seq"` // the stream sequence of its last event; has gaps
}

// Event is a fact about one entity. The store sets Entity, Version and Time.
type Event struct {
	ID      string          // identifies this event when it is retried
	Type    string          // what happened, in the past tense
	Data    json.RawMessage // JSON, or empty
	Entity  string
	Version Version
	Time    time.Time // when the server stored it
}

// NewEvent returns an event to append, with data as JSON, or without if data is nil.
// Derive id from the command that caused the event: then a retry is stored once, also
// after a restart. An empty id is replaced by a random one.
func NewEvent(id, kind string, data any) (Event, error) {
	e := Event{ID: cmp.Or(id, rand.Text()), Type: kind}
	if data != nil {
		body, err := json.Marshal(data)
		if err != nil {
			return Event{}, fmt.Errorf("%w: %s: %w", ErrEvent, kind, err)
		}
		e.Data = body
	}
	return e, e.check()
}

func (e Event) check() error {
	if err := errors.Join(checkID(e.ID), checkID(e.Type)); err != nil {
		return fmt.Errorf("%w: ID %.80q, Type %.80q: %w", ErrEvent, e.ID, e.Type, err)
	}
	return nil
}

// Decode decodes the data into v. It ignores fields that v does not have: events
// live longer than the code that wrote them.
func (e Event) Decode(v any) error {
	if err := json.Unmarshal(e.Data, v); err != nil {
		return fmt.Errorf("%w: %s %s at %d: %w", ErrEvent, e.Entity, e.Type, e.Version.Seq, err)
	}
	return nil
}

// parse returns the event in a stored message.
func parse(subject string, h nats.Header, data []byte, seq uint64, at time.Time) (Event, error) {
	if token := strings.Split(subject, "."); len(token) == 5 && h.Get(HeaderID) != "" {
		if n, err := strconv.ParseUint(token[3], 10, 64); err == nil {
			return Event{ID: h.Get(HeaderID), Type: token[4], Data: data, Entity: token[2], Version: Version{n, seq}, Time: at}, nil
		}
	}
	return Event{}, fmt.Errorf("%w: message %d on %s is not from this package; purge that subject", ErrEvent, seq, subject)
}
