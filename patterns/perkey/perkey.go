package perkey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("perkey: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("perkey: bad config")
	// ErrVersion reports an event without a version.
	ErrVersion = errors.New("perkey: bad version")
	// ErrMismatch reports a stream or consumer with weaker settings.
	ErrMismatch = errors.New("perkey: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("perkey: Run was already called")
)

// HeaderVersion is the header with the version of an event.
const HeaderVersion = "Perkey-Version"

// Event is a change of the resource Key.
type Event struct {
	Key     string
	Version uint64 // 1 for the first event of the key, then 2, and so on; the owner of the resource assigns it
	Header  nats.Header
	Data    []byte
}

// Ledger stores the effects of events, and the version of the last event applied to
// each key.
type Ledger interface {
	// Last returns the version of the last event applied to key; 0 if there is none.
	Last(ctx context.Context, key string) (uint64, error)
	// Apply stores the effect of e and its version in one transaction. It returns an
	// error if the last version of e.Key is not e.Version-1. After an error or a panic,
	// Last is called. If e is not stored, Apply is called again after Backoff, which
	// doubles up to 10 s. Later events of the key wait. To skip an event that can never
	// be applied, store its version without an effect and return nil.
	Apply(ctx context.Context, e Event) error
}

// Config tunes a [Dispatcher]. The zero Config is ready to use.
type Config struct {
	Concurrency int           // events applied at a time, each of another key; 16 if zero
	Buffer      int           // events held in memory, at most half of them waiting for an earlier event; 1,000 if zero
	GapTimeout  time.Duration // wait for a missing event before Missing is called, and called again; 5 s if zero
	// Missing fetches the missing events from to to of key, for example from the owner of
	// the resource. It may return some of them, or none. If it is nil, Run waits.
	Missing func(ctx context.Context, key string, from, to uint64) ([]Event, error)
	Backoff time.Duration // before a failed event is retried, doubled up to 10 s; 100 ms if zero

	Partitions int           // of the topic, by hash of the key; 1 if zero
	Assigned   []int         // the partitions that this process reads; all if empty
	Takeover   time.Duration // after a crash, until another process reads its partitions: AckWait and PinnedTTL; 10 s if zero, at least 4 s
	Grace      time.Duration // for running Apply calls when Run stops; 10 s if zero

	Replicas int                   // of the stream; 1 if zero
	Storage  jetstream.StorageType // of the stream; file if zero
	MaxBytes int64                 // of the stream, which then refuses events; unlimited if zero
	Bind     bool                  // create nothing: a missing stream or consumer is an error
	Metadata map[string]string     // of the stream and consumers that New creates
	Log      *slog.Logger          // discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := cmp.Or(
		setDefault("Concurrency", &c.Concurrency, 16, 1),
		setDefault("Buffer", &c.Buffer, 1000, 2, maxAckPending),
		setDefault("GapTimeout", &c.GapTimeout, 5*time.Second, 10*time.Millisecond),
		setDefault("Backoff", &c.Backoff, 100*time.Millisecond, time.Millisecond, maxBackoff),
		setDefault("Partitions", &c.Partitions, 1, 1, 1000),
		setDefault("Takeover", &c.Takeover, 10*time.Second, 4*time.Second),
		setDefault("Grace", &c.Grace, 10*time.Second, 1),
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
	)
	if err != nil {
		return c, err
	}
	c.Assigned = slices.Compact(slices.Sorted(slices.Values(c.Assigned)))
	if len(c.Assigned) == 0 {
		for p := range c.Partitions {
			c.Assigned = append(c.Assigned, p)
		}
	}
	if c.Assigned[0] < 0 || slices.Max(c.Assigned) >= c.Partitions {
		return c, fmt.Errorf("%w: Assigned is %v; use 0 to Partitions-1", ErrConfig, c.Assigned)
	}
	return c, nil
}

// Publish stores e in the stream of topic. It returns after at most 10 s. A retry
// within the stream's duplicate window stores nothing. Several processes may publish
// events of one key, in any order: the versions count.
func Publish(ctx context.Context, js jetstream.JetStream, topic string, e Event) error {
	if err := cmp.Or(checkID(topic), checkID(e.Key)); err != nil {
		return err
	}
	if e.Version == 0 || e.Version > math.MaxInt64 {
		return fmt.Errorf("%w: %d; use 1 to %d", ErrVersion, e.Version, math.MaxInt64)
	}
	version := strconv.FormatUint(e.Version, 10)
	msg := &nats.Msg{Subject: "perkey." + topic + "." + e.Key, Header: copyHeader(e.Header, "Perkey-"), Data: e.Data}
	msg.Header.Set(HeaderVersion, version)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := js.PublishMsg(ctx, msg, jetstream.WithMsgID(e.Key+"."+version))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		err = fmt.Errorf("%w; create PERKEY_%s with Provision", err, topic)
	}
	if err != nil {
		return fmt.Errorf("perkey: publish version %d of %s to %s: %w", e.Version, e.Key, topic, err)
	}
	return nil
}

// parseEvent returns the event in msg.
func parseEvent(msg jetstream.Msg) (Event, error) {
	e := Event{Key: lastToken(msg.Subject()), Header: msg.Headers(), Data: msg.Data()}
	text := e.Header.Get(HeaderVersion)
	var err error
	e.Version, err = strconv.ParseUint(text, 10, 63) // 63 bits: a next version always exists
	if err != nil || e.Version == 0 {
		return e, fmt.Errorf("%w: header %s is %.40q; publish with Publish", ErrVersion, HeaderVersion, text)
	}
	return e, nil
}
