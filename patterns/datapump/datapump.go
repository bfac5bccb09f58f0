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
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("datapump: bad id")
	// ErrConfig reports a Config or a Schema that makes no sense; the text names the field.
	ErrConfig = errors.New("datapump: bad config")
	// ErrMismatch reports a stream or bucket that exists and is not as needed.
	ErrMismatch = errors.New("datapump: exists, and is different")
	// ErrPayload reports what does not encode or decode.
	ErrPayload = errors.New("datapump: bad payload")
	// ErrTooLarge reports a row or a request larger than the server takes.
	ErrTooLarge = errors.New("datapump: too large")
	// ErrTwice reports that Run was called again.
	ErrTwice = errors.New("datapump: Run was called twice; make a new one")
)

// Config tunes a [Pump], a [Reader] and the streams. The zero Config is ready to use.
type Config struct {
	Replicas int                   // of the streams; 1 if zero
	Storage  jetstream.StorageType // of the streams; file if zero
	Bind     bool                  // never create the streams
	Metadata map[string]string     // put on what New creates
	Keep     time.Duration         // how long rows stay in the stream, more than any store is ever down; forever if zero

	Batch   int           // rows of a transaction at most; 1000 if zero, or what the store takes
	Timeout time.Duration // of a transaction; 30s if zero
	Pause   time.Duration // the longest between two tries of a store that is down; 10s if zero

	Limit    int           // queries a Reader answers at once, more are refused; 16 if zero
	Window   int           // chunks of a result that are on their way to a client; 8 if zero
	Patience time.Duration // with a client that takes no chunk; 30s if zero
	Grace    time.Duration // how long a stopping Reader finishes what it has begun; 10s if zero

	Log *slog.Logger // pauses, diverted rows, failed queries; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.Timeout, c.Pause = cmp.Or(c.Timeout, 30*time.Second), cmp.Or(c.Pause, 10*time.Second)
	c.Limit, c.Window = cmp.Or(c.Limit, 16), cmp.Or(c.Window, 8)
	c.Patience, c.Grace = cmp.Or(c.Patience, 30*time.Second), cmp.Or(c.Grace, 10*time.Second)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	if c.Replicas < 1 || c.Replicas > 5 {
		return c, fmt.Errorf("%w: Replicas is %d; use 1 to 5", ErrConfig, c.Replicas)
	}
	for field, value := range map[string]int64{
		"Keep": int64(c.Keep), "Batch": int64(c.Batch), "Timeout": int64(c.Timeout), "Pause": int64(c.Pause),
		"Limit": int64(c.Limit), "Window": int64(c.Window), "Patience": int64(c.Patience), "Grace": int64(c.Grace),
	} {
		if value < 0 {
			return c, fmt.Errorf("%w: %s is negative", ErrConfig, field)
		}
	}
	return c, nil
}

// Stream returns the configuration of the stream that rows wait in.
func Stream(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	return jetstream.StreamConfig{
		Name: strings.ToUpper(name), Subjects: []string{name + ".row.*"}, Description: "rows for the tables of " + name,
		MaxAge: cfg.Keep, Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
	}, err
}

// Diverted returns the configuration of the stream of rows that no store takes,
// each on its subject, name.diverted.PUMP.SEQUENCE, with the header Reason.
func Diverted(name string, cfg Config) (jetstream.StreamConfig, error) {
	want, err := Stream(name, cfg)
	want.Name, want.Subjects, want.MaxAge = want.Name+"_DIVERTED", []string{name + ".diverted.*.*"}, 0
	want.Description = "rows that the tables of " + name + " did not take"
	return want, err
}

// Provision creates or updates both streams. It is for whoever deploys; nothing
// else here changes a stream that exists.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	for _, config := range []func(string, Config) (jetstream.StreamConfig, error){Stream, Diverted} {
		want, err := config(name, cfg)
		if err == nil {
			_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) })
		}
		if err != nil {
			return edge(err, "provision "+name)
		}
	}
	return nil
}

func setup(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	for _, config := range []func(string, Config) (jetstream.StreamConfig, error){Stream, Diverted} {
		want, err := config(name, cfg)
		if err != nil {
			return err
		}
		if _, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind); err != nil {
			return err
		}
	}
	return nil
}

// Write sends a row, anything that encodes to a JSON object of the table's columns,
// and returns once it is stored in the stream: it will take effect once. The id
// names this write: the same one again, within two minutes, is the same row.
func Write(ctx context.Context, js jetstream.JetStream, name, table, id string, row any) error {
	for _, token := range []string{name, table, id} {
		if err := checkID(token); err != nil {
			return err
		}
	}
	data, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("%w: %T: %w", ErrPayload, row, err)
	}
	if err := fits(js.Conn(), len(data)); err != nil {
		return err
	}
	_, err = js.Publish(ctx, name+".row."+table, data, jetstream.WithMsgID(id))
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		err = fmt.Errorf("no stream takes it: start a Pump first, or Provision: %w", err)
	}
	return edge(err, "write to "+name+"."+table)
}

// room is what headers may take of a message.
const room = 1024

func fits(nc *nats.Conn, size int) error {
	if most := nc.MaxPayload() - room; most > 0 && int64(size) > most {
		return fmt.Errorf("%w: %d bytes, the server takes %d: keep the document elsewhere, its address here", ErrTooLarge, size, most)
	}
	return nil
}

// edge says, once, whose error it is and what was being done.
func edge(err error, doing string) error {
	if err == nil || strings.HasPrefix(err.Error(), "datapump: ") {
		return err
	}
	return fmt.Errorf("datapump: %s: %w", doing, err)
}
