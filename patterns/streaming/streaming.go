package streaming

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("streaming: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("streaming: bad config")
	// ErrMismatch reports a stream with weaker settings.
	ErrMismatch = errors.New("streaming: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("streaming: Run was already called")
	// ErrFenced reports that another Processor of the same flow has taken over.
	ErrFenced = errors.New("streaming: another Processor has taken over this flow")
	// ErrRecreated reports that FEED_<flow> ends before the last processed event. To
	// start again, delete RESULTS_<flow> too.
	ErrRecreated = errors.New("streaming: the stream was recreated")
	// ErrSkip is what Clean returns to filter out an event.
	ErrSkip = errors.New("streaming: skip")
)

// Headers of events, refused events and commits.
const (
	HeaderTime      = "Event-Time"          // of an event: when it happened, RFC 3339
	HeaderReason    = "Streaming-Reason"    // of a refused event
	HeaderSubject   = "Streaming-Subject"   // of a refused event: its subject in FEED_<flow>
	HeaderSequence  = "Streaming-Sequence"  // of a refused event: its sequence in FEED_<flow>
	HeaderTruncated = "Streaming-Truncated" // of a refused event without its data and headers
	HeaderCommit    = "Streaming-Commit"    // of a position: the ID of the commit
)

// Event is a fact about the entity that Key names, such as a sensor or an account.
type Event[In any] struct {
	ID    string    // if set, the event is stored once when it is sent again within 2 minutes
	Key   string    // a token of the subject
	At    time.Time // event time, by the sender's clock; if zero, the time when it is stored
	Value In
}

// Result is the aggregate of the events of one Key in one window, [From, To).
type Result[Out any] struct {
	Key   string    `json:"key"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Count int       `json:"count"` // of events
	Value Out       `json:"value"`
}

// Flow processes events, one at a time and in stream order.
//
//	Clean returns   nil           the event is added, as Clean has changed it
//	                wraps ErrSkip the event is skipped
//	                an error      the event is refused: stored on refused.<flow>.<key> with the reason
//	Add returns     nil           next is the new aggregate
//	                an error      the event is refused
//
// A panic is an error. After a crash, events whose results were not committed are
// processed again.
type Flow[In, Out any] struct {
	Clean func(ctx context.Context, ev *Event[In]) error    // filters, enriches, changes the key; nil changes nothing
	Add   func(sum Out, ev Event[In]) (next Out, err error) // begins with the zero Out; must not change what sum refers to
}

// Config holds the settings of Send and Processor. The zero Config is ready to use.
type Config struct {
	Window   time.Duration // length of the tumbling windows; 1m if zero
	Lateness time.Duration // allowed lateness of an event behind the newest one; 10s if zero
	Idle     time.Duration // without events, the server's clock closes windows after this time; 1s if zero
	MaxAge   time.Duration // of events and results; 7 days if zero; longer than any downtime of a Processor
	Log      *slog.Logger  // discards if nil

	Replicas int                   // of each stream; 1 if zero
	Storage  jetstream.StorageType // of each stream; file if zero
	MaxBytes int64                 // of each stream, which refuses messages when it is full; unlimited if zero
	Bind     bool                  // use only streams that exist
	Metadata map[string]string     // of the streams that are created
}

func (c Config) normal() (Config, error) {
	err := errors.Join(
		setDefault("Window", &c.Window, time.Minute, time.Millisecond),
		setDefault("Lateness", &c.Lateness, 10*time.Second, time.Millisecond),
		setDefault("Idle", &c.Idle, time.Second, 10*time.Millisecond),
		setDefault("MaxAge", &c.MaxAge, 7*24*time.Hour, time.Second),
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
	)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c, err
}

// Send stores an event on feed.<flow>.<key>. After an error, the event may be stored or
// not: send it again with the same ID.
func Send[In any](ctx context.Context, js jetstream.JetStream, flow string, ev Event[In]) error {
	if err := errors.Join(checkID(flow), checkID(ev.Key)); err != nil {
		return err
	}
	data, err := json.Marshal(ev.Value)
	if err != nil {
		return fmt.Errorf("streaming: send to %s: %w", flow, err)
	}
	msg := nats.NewMsg("feed." + flow + "." + ev.Key)
	msg.Data = data
	if !ev.At.IsZero() {
		msg.Header.Set(HeaderTime, ev.At.UTC().Format(time.RFC3339Nano))
	}
	if ev.ID != "" {
		if err := checkID(ev.ID); err != nil {
			return err
		}
		msg.Header.Set(nats.MsgIdHdr, ev.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err = js.PublishMsg(ctx, msg)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("streaming: send to %s: %w: %d bytes; send a reference to the data", flow, err, len(msg.Data))
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("streaming: send to %s: %w: the flow does not exist; call Provision or NewProcessor first", flow, err)
	}
	return fmt.Errorf("streaming: send to %s: %w", flow, err)
}

// FeedStreamConfig returns the stream FEED_<flow>, which stores the events.
func FeedStreamConfig(flow string, cfg Config) (jetstream.StreamConfig, error) {
	return streamConfig("FEED_", flow, cfg, "feed."+flow+".*")
}

// ResultsStreamConfig returns the stream RESULTS_<flow>, which stores the results, the
// refused events and the state: only messages of one stream are stored all or none.
func ResultsStreamConfig(flow string, cfg Config) (jetstream.StreamConfig, error) {
	s, err := streamConfig("RESULTS_", flow, cfg, "results."+flow+".*", "refused."+flow+".*", "state."+flow+".>")
	s.AllowAtomicPublish = true // for commits
	s.AllowRollup = true        // state replaces older state
	s.AllowMsgTTL = true        // state does not expire with MaxAge
	return s, err
}

func streamConfig(prefix, flow string, cfg Config, subjects ...string) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.StreamConfig{Name: prefix + flow, Subjects: subjects, Duplicates: min(2*time.Minute, cfg.MaxAge),
		MaxAge: cfg.MaxAge, MaxBytes: cfg.MaxBytes, Discard: jetstream.DiscardNew,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata)}, errors.Join(err, checkID(flow))
}

// Provision creates the streams of a flow, or changes settings that are weaker than in
// cfg. Nothing else in this package changes a stream.
func Provision(ctx context.Context, js jetstream.JetStream, flow string, cfg Config) error {
	_, err := openStreams(flow, cfg, func(want jetstream.StreamConfig) (jetstream.Stream, error) {
		return provision(ctx, streamOf(js, want.Name), want)
	})
	return err
}

// openStreams calls open for both streams of a flow, and returns RESULTS_<flow>.
func openStreams(flow string, cfg Config, open func(jetstream.StreamConfig) (jetstream.Stream, error)) (results jetstream.Stream, err error) {
	for _, config := range []func(string, Config) (jetstream.StreamConfig, error){FeedStreamConfig, ResultsStreamConfig} {
		want, err := config(flow, cfg)
		if err != nil {
			return nil, err
		}
		if results, err = open(want); err != nil {
			return nil, fmt.Errorf("streaming: flow %s: %w", flow, err)
		}
	}
	return results, nil
}
