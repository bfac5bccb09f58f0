package queueing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("queueing: bad id")
	// ErrConfig reports a Config, or a handler, that makes no sense.
	ErrConfig = errors.New("queueing: bad config")
	// ErrMismatch reports a stream or consumer that exists with other settings.
	ErrMismatch = errors.New("queueing: exists with other settings; change Config or call Provision")
	// ErrTwice reports a second call of Run.
	ErrTwice = errors.New("queueing: Run may be called once; make a new worker")
	// ErrPoison is what a [Handler] wraps when no further try can help.
	ErrPoison = errors.New("queueing: poison")
)

// Handler does one job. The message is as it was sent, headers included, but for
// Reply, which is empty in a work queue. What it returns decides how the job ends:
//
//	returns            Worker (work queue)                Member (queue group)
//	nil                done: gone from the queue          done
//	an error           tried again after a backoff;       logged; the job is gone
//	                   the last try: failed
//	wraps ErrPoison    failed at once                     logged; the job is gone
//	panics             as an error                        as an error
//
// A handler may be given the same job twice, by a Worker; it must not mind.
type Handler func(ctx context.Context, msg *nats.Msg) error

// Config tunes both forms. The zero Config is ready to use. What is marked WQ is
// of the work queue only.
type Config struct {
	InHand   int           // jobs handled at once, by this worker; 1 if zero
	Ahead    int           // jobs beyond those: fetched by a Worker, for jobs shorter than a round trip, none if zero; buffered by a Member before it drops any, 65,536 if zero and at most
	InFlight int           // WQ: jobs out with all workers, those between two tries included; 1000 if zero
	AckWait  time.Duration // WQ: silence after which a worker's job goes to another; 30s if zero
	Tries    int           // WQ: deliveries before a job has failed; 5 if zero
	Backoff  time.Duration // WQ: wait after the first try, doubled after each, up to a minute; 1s if zero
	Priority int           // WQ: 0 is served first, 9 last; above 0 is a standby
	Grace    time.Duration // for what is in hand when Run is told to stop; 10s if zero
	Keep     time.Duration // WQ: how long a failed job is kept; 7 days if zero
	Log      *slog.Logger  // what nobody can be told otherwise; discarded if nil

	Replicas int                   // WQ: of the streams; 1 if zero
	Storage  jetstream.StorageType // WQ: of the streams; file if zero
	Bind     bool                  // WQ: never create, only use what exists
	Metadata map[string]string     // WQ: put on what NewWorker creates
}

func (c Config) normal() (Config, error) {
	err := errors.Join(
		fill("InHand", &c.InHand, 1, 1), fill("Ahead", &c.Ahead, 0, 0), fill("InFlight", &c.InFlight, 1000, 1),
		fill("Tries", &c.Tries, 5, 1), fill("Priority", &c.Priority, 0, 0), fill("Replicas", &c.Replicas, 1, 1),
		fill("AckWait", &c.AckWait, 30*time.Second, 100*time.Millisecond), fill("Backoff", &c.Backoff, time.Second, time.Millisecond),
		fill("Grace", &c.Grace, 10*time.Second, 1), fill("Keep", &c.Keep, 7*24*time.Hour, time.Second),
	)
	if c.Priority > 9 {
		err = errors.Join(err, fmt.Errorf("%w: Priority is %d; 0 to 9", ErrConfig, c.Priority))
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, err
}

func fill[T ~int | ~int64](field string, v *T, zero, least T) error {
	if *v == 0 {
		*v = zero
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v, less than %v", ErrConfig, field, *v, least)
	}
	return nil
}

// job is the message of a job, whichever way it goes.
func job(prefix, queue, id string, msg *nats.Msg, limit int64) (*nats.Msg, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, fmt.Errorf("queueing: job %s: %w: it is nil; a job without a body is an empty Msg", id, nats.ErrInvalidMsg)
	}
	if n := int64(len(msg.Data)); n > limit {
		return nil, fmt.Errorf("queueing: job %s: %w: %d bytes, the server takes %d; send a reference to the data", id, nats.ErrMaxPayload, n, limit)
	}
	return &nats.Msg{Subject: prefix + "." + queue + "." + id, Header: maps.Clone(msg.Header), Data: msg.Data}, nil
}

// call runs the handler; a panic is an error of this job, not of the worker.
func call(ctx context.Context, handle Handler, msg *nats.Msg, log *slog.Logger) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("queueing: a handler panicked", "subject", msg.Subject, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return handle(ctx, msg)
}
