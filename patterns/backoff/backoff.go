package backoff

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("backoff: bad id")
	// ErrConfig reports a Config, or a handler, that makes no sense.
	ErrConfig = errors.New("backoff: bad config")
	// ErrMismatch reports a stream or consumer that exists with other settings.
	ErrMismatch = errors.New("backoff: exists with other settings; change Config or call Provision")
	// ErrTwice reports a second call of Run.
	ErrTwice = errors.New("backoff: Run may be called once; make a new worker")
	// ErrPoison is what a [Handler] wraps when no further try can help.
	ErrPoison = errors.New("backoff: poison")
	// ErrFull reports a queue whose workers are behind. What was to be sent is not.
	ErrFull = errors.New("backoff: the workers are behind; send it again later, under the same id")

	errLost = errors.New("no answer from the worker that had it")
)

// Headers of a message that failed, beside those it was sent with.
const (
	HeaderTries  = "Backoff-Tries"  // how often it was tried
	HeaderReason = "Backoff-Reason" // of the given up: the error of the last try
	headerOf     = "Backoff-Of"     // of what is put away or given up: the sequence of the message that it was
)

// Message is what a Handler is given.
type Message struct {
	ID     string
	Header nats.Header
	Data   []byte
	Try    int // 1, or more when it has been tried before
}

// Handler calls the dependency, within ctx. What it returns decides:
//
//	nil                 done
//	an error            tried again after a backoff, and given up after Config.Tries
//	ErrPoison, wrapped  given up at once: the dependency is well, the message is not
type Handler func(ctx context.Context, msg Message) error

// Config tunes a queue and its workers. The zero Config is ready.
type Config struct {
	Policy  Policy        // waits between the tries of a message; {1s, 1h, 0.5} if zero
	Tries   int           // after which a message is given up; 10 if zero
	Long    time.Duration // waits from here on are kept by the stream, not by the consumer; 5s if zero
	Budget  Budget        // retries of a worker; {0.1, 10, 1s} if zero
	Breaker Breaker       // of a worker; 5 failures open it, for {1s, 1m, 0.5}, if zero
	Timeout time.Duration // of one try; after twice that, a silent worker is taken for dead; 10s if zero
	Hands   int           // tries of a worker at once, and all that it asks for; 8 if zero
	Log     *slog.Logger  // what nobody can be told otherwise; discarded if nil

	MaxAckPending int                   // messages in hand, or in a short wait, of all workers; 1000 if zero
	MaxWaiting    int                   // messages of the queue, before a Sender refuses; 10000 if zero
	Replicas      int                   // 1 if zero
	Storage       jetstream.StorageType // file if zero
	Bind          bool                  // never create, only use what exists
	Metadata      map[string]string     // put on what is created
}

func (c Config) normal() (Config, error) {
	c.Policy = cmp.Or(c.Policy, Policy{time.Second, time.Hour, 0.5})
	c.Budget = cmp.Or(c.Budget, Budget{Ratio: 0.1, Burst: 10, Every: time.Second})
	c.Breaker = cmp.Or(c.Breaker, Breaker{Failures: 5, Wait: Policy{time.Second, time.Minute, 0.5}})
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(
		c.Policy.check("Policy"), c.Breaker.Wait.check("Breaker.Wait"), fill("Tries", &c.Tries, 10, 1), fill("Hands", &c.Hands, 8, 1),
		fill("Long", &c.Long, 5*time.Second, 1), fill("Timeout", &c.Timeout, 10*time.Second, 50*time.Millisecond),
		fill("MaxAckPending", &c.MaxAckPending, 1000, 1), fill("MaxWaiting", &c.MaxWaiting, 10_000, 1), fill("Replicas", &c.Replicas, 1, 1),
		fill("Breaker.Failures", &c.Breaker.Failures, 0, 1), fill("Budget.Burst", &c.Budget.Burst, 0, 1), fill("Budget.Every", &c.Budget.Every, 0, 1),
	)
	if !(c.Budget.Ratio >= 0) {
		err = errors.Join(err, fmt.Errorf("%w: Budget.Ratio is %v, less than 0", ErrConfig, c.Budget.Ratio))
	}
	return c, err
}

func fill[T ~int | ~int64](field string, v *T, zero, least T) error {
	*v = cmp.Or(*v, zero)
	if *v < least {
		return fmt.Errorf("%w: %s is %v, less than %v", ErrConfig, field, *v, least)
	}
	return nil
}
