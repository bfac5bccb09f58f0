package perkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("perkey: bad id")
	// ErrConfig reports a Config that makes no sense; the text names the field.
	ErrConfig = errors.New("perkey: bad config")
	// ErrVersion reports an event that does not say which one of its key it is.
	ErrVersion = errors.New("perkey: bad version")
	// ErrMismatch reports a stream or consumer that exists and is set up otherwise.
	ErrMismatch = errors.New("perkey: set up otherwise; Provision changes that")
	// ErrTwice reports that Run was called again.
	ErrTwice = errors.New("perkey: Run was called twice; make a new Dispatcher")
)

// HeaderVersion tells the version of a message.
const HeaderVersion = "Perkey-Version"

// Event is what has happened to the resource Key.
type Event struct {
	Key     string
	Version uint64 // 1 for the first of its key, then 2, and so on; given once, by whoever owns the resource
	Header  nats.Header
	Data    []byte
}

// Ledger is where a listener's effects are, and with them the version of the last
// event that had its effect on each key.
type Ledger interface {
	// Last returns the version of the last event applied to key; 0 if there is none.
	Last(ctx context.Context, key string) (uint64, error)
	// Apply gives e its effect and stores its version, both or neither, provided that
	// the last one applied to e.Key is the one before. After an error Last is asked,
	// and if e is not in, it is tried again: after 100ms, then twice as long, up to
	// 10s. Until then nothing later of its key is applied. To pass over an event that
	// can never be applied, store its version without an effect and return nil.
	Apply(ctx context.Context, e Event) error
}

// Config tunes a [Dispatcher]. The zero Config is ready to use.
type Config struct {
	Workers  int           // events applied at a time, each of another key; 16 if zero
	Room     int           // events held here at most, half of them waiting for one before; 1000 if zero
	Patience time.Duration // how long a missing event is waited for before Missing is asked, and asked again; 5s if zero
	// Missing asks for events from to to of a key, which do not come; the owner of the
	// resource, say. It may return some or none. Nil: they are waited for.
	Missing func(ctx context.Context, key string, from, to uint64) ([]Event, error)

	Partitions int           // of the topic, by hash of the key; 1 if zero
	Reads      []int         // the partitions this process reads, each alone or standing by; all if empty
	Takeover   time.Duration // after a reader's death, until another reads its partitions and has what it held; 10s if zero, at least 4s

	Grace time.Duration // for what is being applied when Run is to end; 10s if zero
	Log   *slog.Logger  // discarded if nil

	Replicas int                   // of the stream; 1 if zero
	Storage  jetstream.StorageType // of it; file if zero
	Bind     bool                  // create nothing: what is missing is an error
	Metadata map[string]string     // put on what New creates
}

func (c Config) normal() (Config, error) {
	c.Workers, c.Room, c.Patience = cmp.Or(c.Workers, 16), cmp.Or(c.Room, 1000), cmp.Or(c.Patience, 5*time.Second)
	c.Partitions, c.Takeover, c.Grace = cmp.Or(c.Partitions, 1), cmp.Or(c.Takeover, 10*time.Second), cmp.Or(c.Grace, 10*time.Second)
	c.Replicas = cmp.Or(c.Replicas, 1)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Reads) == 0 {
		for p := range c.Partitions {
			c.Reads = append(c.Reads, p)
		}
	}
	c.Reads = slices.Compact(slices.Sorted(slices.Values(c.Reads)))
	for _, f := range []struct {
		ok   bool
		name string
		have any
		want string
	}{
		{c.Workers > 0, "Workers", c.Workers, "at least 1"},
		{c.Room > 1 && c.Room <= reach, "Room", c.Room, "from 2 to 65536"},
		{c.Patience >= 10*time.Millisecond, "Patience", c.Patience, "at least 10ms"},
		{c.Partitions > 0 && c.Partitions <= 1000, "Partitions", c.Partitions, "from 1 to 1000"},
		{len(c.Reads) > 0 && c.Reads[0] >= 0 && c.Reads[len(c.Reads)-1] < c.Partitions, "Reads", c.Reads, "from 0 to Partitions-1"},
		{c.Takeover >= 4*time.Second, "Takeover", c.Takeover, "at least 4s"},
		{c.Grace > 0, "Grace", c.Grace, "more than 0"},
		{c.Replicas > 0 && c.Replicas <= 5, "Replicas", c.Replicas, "from 1 to 5"},
	} {
		if !f.ok {
			return c, fmt.Errorf("%w: %s %v; %s", ErrConfig, f.name, f.have, f.want)
		}
	}
	return c, nil
}
