package deadletter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("deadletter: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("deadletter: bad config")
	// ErrMismatch reports a stream or consumer with weaker settings.
	ErrMismatch = errors.New("deadletter: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("deadletter: Run was already called")
	// ErrPoison is wrapped by a [Handler] when a retry cannot help.
	ErrPoison = errors.New("deadletter: poison message")
	// ErrNoLetter reports an ID without a letter.
	ErrNoLetter = errors.New("deadletter: no such letter")
	// ErrResolved reports a letter that was requeued or purged before.
	ErrResolved = errors.New("deadletter: the letter was already requeued or purged")
	// ErrGone reports a letter without a message, because the stream had removed it.
	ErrGone = errors.New("deadletter: the message is gone; let fix set a subject and a payload")
)

// Config configures a dead letter channel. The zero Config is ready to use.
type Config struct {
	MaxDeliver int           // delivery attempts before a message becomes a dead letter; 5 if zero
	Backoff    time.Duration // after the first failed attempt, doubled up to one minute; 1 s if zero
	Grace      time.Duration // for a running handler when the context of Guard ends; 10 s if zero

	MaxAge   time.Duration         // after which unread letters, and marks of resolved ones, are removed; never if zero
	MaxBytes int64                 // of each stream, which then refuses messages; unlimited if zero
	Replicas int                   // of each stream; 1 if zero
	Storage  jetstream.StorageType // of each stream; file if zero
	Bind     bool                  // create nothing: a missing stream or consumer is an error
	Metadata map[string]string     // of the streams and the consumer that New creates
	Log      *slog.Logger          // discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	age := cmp.Or(c.MaxAge, time.Second) // zero is unlimited
	err := cmp.Or(
		setDefault("MaxDeliver", &c.MaxDeliver, 5, 1),
		setDefault("Backoff", &c.Backoff, time.Second, time.Millisecond),
		setDefault("Grace", &c.Grace, 10*time.Second, 1),
		setDefault("MaxAge", &age, time.Second, time.Second),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
	)
	return c, err
}

// StreamConfig returns the stream DEAD_<name>. Each letter has its own subject, so
// that the server refuses to store it again, at any time later.
func StreamConfig(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err = cmp.Or(err, checkID(name)); err != nil {
		return jetstream.StreamConfig{}, err
	}
	return jetstream.StreamConfig{
		Name: "DEAD_" + name, Subjects: []string{"dead." + name + ".*.*.*.*"}, MaxMsgsPerSubject: 1,
		Discard: jetstream.DiscardNew, MaxAge: cfg.MaxAge, MaxBytes: cfg.MaxBytes,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, nil
}

// Channel is a dead letter channel. Any number of streams and consumers may share it.
type Channel struct {
	cfg     Config
	name    string
	js      jetstream.JetStream
	letters jetstream.Stream
}

// NewChannel finds or creates the channel. The context bounds this call only.
func NewChannel(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Channel, error) {
	want, err := StreamConfig(name, cfg)
	if err != nil {
		return nil, err
	}
	cfg, _ = cfg.normal()
	letters, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("deadletter: channel %s: %w", name, err)
	}
	return &Channel{cfg: cfg, name: name, js: js, letters: letters}, nil
}

var errUnknown = errors.New("unknown: the worker crashed at the last attempt, or the letter could not be stored")

// Handler handles a message, which it may change, and can receive twice. Its result
// decides what happens:
//
//	nil                the message is acknowledged
//	an error           it is retried after a backoff, and then becomes a dead letter
//	wraps ErrPoison    it becomes a dead letter at once
//	a panic            the same as an error
type Handler func(ctx context.Context, msg Message) error

type guard struct {
	*Channel
	consumer string // <stream>.<consumer>
	stream   jetstream.Stream
	handle   Handler
	progress *progress
}

// Guard wraps handle for cons.Consume. It acknowledges, retries, and stores a dead
// letter before it terminates the message. While handle runs, the message is in
// progress. It counts the deliveries and refuses a consumer with a MaxDeliver, after
// which the server keeps a message without delivering it.
//
// When ctx ends, a running handle has Grace left. Stop cons.Consume too: a message
// that arrives later is redelivered after a backoff, and that attempt counts.
func (c *Channel) Guard(ctx context.Context, cons jetstream.Consumer, handle Handler) (jetstream.MessageHandler, error) {
	if handle == nil || cons == nil {
		return nil, fmt.Errorf("%w: the handler or the consumer is nil", ErrConfig)
	}
	info := cons.CachedInfo()
	if err := cmp.Or(checkID(info.Stream), checkID(info.Name)); err != nil {
		return nil, err
	}
	name, needed := info.Stream+"."+info.Name, info.Config
	needed.AckPolicy, needed.MaxDeliver = jetstream.AckExplicitPolicy, -1
	if _, err := strengthen(info.Config, needed, nil); err != nil {
		return nil, fmt.Errorf("%w: consumer %s has %w; or use a Collector", ErrMismatch, name, err)
	}
	stream, err := callAPI(ctx, streamOf(c.js, info.Stream).find)
	if err != nil {
		return nil, fmt.Errorf("deadletter: guard %s: %w", name, err)
	}
	g := &guard{Channel: c, consumer: name, stream: stream, handle: handle, progress: newProgress(info.Config.AckWait, c.cfg.Log)}
	work, _ := withGrace(ctx, c.cfg.Grace) // ends by itself
	return func(msg jetstream.Msg) { warnIf(c.cfg.Log, "finish", msg, g.process(ctx, work, msg)) }, nil
}

// process handles msg if ctx has not ended, with the context work.
func (g *guard) process(ctx, work context.Context, msg jetstream.Msg) error {
	m, err := newMessage(msg)
	if err != nil {
		return err
	}
	delay := redeliveryDelay(g.cfg.Backoff, m.Delivery)
	if ctx.Err() != nil {
		return msg.NakWithDelay(delay) // without a delay it could be delivered here again at once
	}
	if only := m.Header.Get(HeaderConsumer); only != "" && only != g.consumer {
		return msg.Ack() // requeued for another consumer; this one has handled it before
	}
	ctx = context.WithoutCancel(ctx) // a message that was handled is finished
	g.progress.start(msg)
	defer g.progress.stop(msg)
	received := fingerprint(msg)
	if m.Delivery > 1 { // a worker can have crashed after it had stored the letter
		if _, err := g.letters.GetLastMsgForSubject(ctx, g.subject(letterID(g.consumer, m.Sequence, m.Time))); err == nil {
			return msg.TermWithReason("a dead letter")
		}
	}
	cause := errUnknown
	if m.Delivery <= g.cfg.MaxDeliver {
		cause = callHandler(work, g.cfg.Log, m.Subject, g.handle, m)
	}
	if cause == nil {
		return msg.Ack()
	}
	l := Letter{ID: letterID(g.consumer, m.Sequence, m.Time), Reason: Exhausted, Deliveries: min(m.Delivery, g.cfg.MaxDeliver)}
	if errors.Is(cause, ErrPoison) {
		l.Reason = Poison
	} else if m.Delivery < g.cfg.MaxDeliver {
		return msg.NakWithDelay(delay)
	}
	original := &jetstream.RawStreamMsg{Subject: msg.Subject(), Header: msg.Headers(), Data: msg.Data()}
	if fingerprint(msg) != received { // the handler has changed it
		original, err = getMsg(ctx, g.stream, m.Sequence, m.Time, original)
	}
	if err == nil {
		err = g.store(ctx, l, l.ID, cause, original)
	}
	if err != nil {
		return errors.Join(err, msg.NakWithDelay(delay))
	}
	return msg.TermWithReason(string(l.Reason))
}
