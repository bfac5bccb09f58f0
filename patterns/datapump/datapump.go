package datapump

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("datapump: bad ID")
	// ErrConfig reports a bad Config field, Table or argument.
	ErrConfig = errors.New("datapump: bad config")
	// ErrMismatch reports a stream that exists with weaker settings.
	ErrMismatch = errors.New("datapump: exists with other settings; change Config or call Provision")
	// ErrPayload reports a row that does not encode to JSON.
	ErrPayload = errors.New("datapump: bad payload")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("datapump: Run was already called")
)

// Config tunes a [Pump] and its streams. The zero Config is ready to use.
type Config struct {
	Replicas int                   // of the streams; 1 if zero
	Storage  jetstream.StorageType // of the streams; file if zero
	MaxBytes int64                 // of each stream; a full stream refuses rows; unlimited if zero
	Bind     bool                  // never create the streams
	Metadata map[string]string     // of the streams that New creates

	Batch      int           // rows of a transaction, at most; 1000 if zero
	Timeout    time.Duration // of a transaction; 30s if zero
	MaxBackoff time.Duration // longest delay before the store is tried again; 10s if zero
	Grace      time.Duration // to finish the last transactions after ctx ends; 10s if zero

	Log *slog.Logger // pauses and rejected rows; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
		setDefault("Batch", &c.Batch, 1000, 1),
		setDefault("Timeout", &c.Timeout, 30*time.Second, 1),
		setDefault("MaxBackoff", &c.MaxBackoff, 10*time.Second, 1),
		setDefault("Grace", &c.Grace, 10*time.Second, 1),
	)
	return c, err
}

// StreamConfig returns the configuration of the stream of rows.
func StreamConfig(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.StreamConfig{
		Name: strings.ToUpper(name), Subjects: []string{name + ".row.*"}, Description: "rows for the tables of " + name,
		Replicas: cfg.Replicas, Storage: cfg.Storage, MaxBytes: cfg.MaxBytes, Discard: jetstream.DiscardNew,
		Duplicates: 2 * time.Minute, Metadata: cfg.Metadata,
	}, errors.Join(err, checkID(name))
}

// RejectedStreamConfig returns the configuration of the stream of invalid rows. Each
// is stored on its own subject, name.rejected.PUMP.SEQUENCE, with [HeaderReason].
func RejectedStreamConfig(name string, cfg Config) (jetstream.StreamConfig, error) {
	want, err := StreamConfig(name, cfg)
	want.Name, want.Subjects = want.Name+"_REJECTED", []string{name + ".rejected.*.*"}
	want.Description = "invalid rows for the tables of " + name
	return want, err
}

// Provision creates both streams, or strengthens them where they are weaker than
// cfg. NewPump never changes a stream.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	return eachStream(name, cfg, func(want jetstream.StreamConfig) error {
		_, err := provision(ctx, streamOf(js, want.Name), want)
		return err
	})
}

func eachStream(name string, cfg Config, do func(jetstream.StreamConfig) error) error {
	for _, config := range []func(string, Config) (jetstream.StreamConfig, error){StreamConfig, RejectedStreamConfig} {
		want, err := config(name, cfg)
		if err != nil {
			return err
		}
		if err := do(want); err != nil {
			return fmt.Errorf("datapump: streams of %s: %w", name, err)
		}
	}
	return nil
}

// Write publishes a row: a value that encodes to a JSON object of the table's
// columns. It returns when the row is stored in the stream. The id names this write:
// a second Write with the same id within two minutes stores nothing.
func Write(ctx context.Context, js jetstream.JetStream, name, table, id string, row any) error {
	if err := errors.Join(checkID(name), checkID(table), checkID(id)); err != nil {
		return err
	}
	data, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("%w: %T: %w", ErrPayload, row, err)
	}
	_, err = js.Publish(ctx, name+".row."+table, data, jetstream.WithMsgID(id))
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		err = fmt.Errorf("no stream stores it; start a Pump, or call Provision: %w", err)
	}
	if err != nil {
		return fmt.Errorf("datapump: write to %s.%s: %w", name, table, err)
	}
	return nil
}
