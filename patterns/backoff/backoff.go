package backoff

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("backoff: bad ID")
	// ErrConfig reports a bad Config field or a nil handler.
	ErrConfig = errors.New("backoff: bad config")
	// ErrMismatch reports a stream or consumer with weaker settings.
	ErrMismatch = errors.New("backoff: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("backoff: Run was already called")
	// ErrPoison is wrapped by the error of a [Handler] if a retry cannot help.
	ErrPoison = errors.New("backoff: poison message")
	// ErrFull reports a queue that has MaxWaiting messages. The message is not stored.
	ErrFull = errors.New("backoff: the queue is full; send again later with the same ID")

	errNoAck = errors.New("no ack of the last delivery: its worker crashed or was disconnected")
)

// Headers of a failed message, in addition to its own.
const (
	HeaderDeliveries = "Backoff-Deliveries" // delivery attempts
	HeaderReason     = "Backoff-Reason"     // the error of the last attempt
	HeaderSequence   = "Backoff-Sequence"   // the sequence of the message that this is a copy of
)

// Handler handles a message. The result decides what happens to it:
//
//   - nil: it is acknowledged.
//   - an error, or a panic: it is retried after a delay, and fails after MaxDeliver
//     attempts. A failed message is stored as backoff.<queue>.failed.<id>.
//   - an error that wraps ErrPoison: it fails at once.
//
// The context ends after Timeout. msg.Delivery counts all attempts.
type Handler func(ctx context.Context, msg Message) error

// Policy decides when a worker makes an attempt. A *retry.Retrier is a Policy with a
// retry budget and a circuit breaker. Workers may share one.
type Policy interface {
	// Delay returns the delay after a failed attempt; the first attempt is 1.
	Delay(attempt int) time.Duration
	// Ready returns how many attempts may start now, or how long to wait if none.
	Ready() (n int, wait time.Duration)
	// Start permits an attempt. The worker calls done once with its error: nil if the
	// dependency works, context.Canceled if that is unknown. If done is nil, there is
	// no attempt: the message goes back to the queue for all workers, after wait.
	Start(attempt int) (done func(err error), wait time.Duration)
}

// Config tunes a queue and its workers. The zero Config is ready.
type Config struct {
	Concurrency   int           // attempts of a worker at a time, and messages that it fetches; 8 if zero
	MaxDeliver    int           // attempts of a message; 10 if zero
	Timeout       time.Duration // of an attempt; AckWait is twice that; 10 s if zero
	Grace         time.Duration // for attempts in progress when Run stops; 10 s if zero
	Backoff       time.Duration // delay after the first attempt, doubled up to 1 h, half of it random; 1 s if zero
	Policy        Policy        // decides instead of Backoff; it is used by workers only
	ScheduleAfter time.Duration // a delay from here on is a schedule, a shorter one is a nak; 5 s if zero
	Log           *slog.Logger  // discarded if nil

	MaxAckPending int                   // messages in progress or in a nak's delay, of all workers; 1,000 if zero
	MaxWaiting    int                   // messages that are not failed; above it Send returns ErrFull; 10,000 if zero
	MaxBytes      int64                 // of the stream; above half of it Send returns ErrFull; unlimited if zero
	Replicas      int                   // 1 if zero
	Storage       jetstream.StorageType // file if zero
	Bind          bool                  // never create anything
	Metadata      map[string]string     // of what is created
}

func (c Config) normal(queue string) (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(checkID(queue),
		setDefault("Concurrency", &c.Concurrency, 8, 1), setDefault("MaxDeliver", &c.MaxDeliver, 10, 1),
		setDefault("Timeout", &c.Timeout, 10*time.Second, 50*time.Millisecond), setDefault("Grace", &c.Grace, 10*time.Second, 1),
		setDefault("Backoff", &c.Backoff, time.Second, 1), setDefault("ScheduleAfter", &c.ScheduleAfter, 5*time.Second, 1),
		setDefault("MaxAckPending", &c.MaxAckPending, 1000, 1), setDefault("MaxWaiting", &c.MaxWaiting, 10_000, 1),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0), setDefault("Replicas", &c.Replicas, 1, 1, 5),
	)
	if c.Policy == nil {
		c.Policy = exponential(c.Backoff)
	}
	return c, err
}

// exponential is a Policy that permits every attempt.
type exponential time.Duration

// Delay returns the first delay, doubled with each attempt; half of it is random.
func (first exponential) Delay(attempt int) time.Duration {
	delay := time.Duration(first)
	for ; attempt > 1 && delay < time.Hour; attempt-- {
		delay = min(2*delay, time.Hour)
	}
	return delay - rand.N(delay/2+1)
}

func (exponential) Ready() (int, time.Duration) { return math.MaxInt, 0 }

func (exponential) Start(int) (func(error), time.Duration) { return func(error) {}, 0 }
