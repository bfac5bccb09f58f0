package queueing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports a queue name or an ID that cannot be one token of a subject.
	ErrID = errors.New("queueing: bad ID")
	// ErrConfig reports a bad Config field or a nil handler.
	ErrConfig = errors.New("queueing: bad config")
	// ErrMismatch reports a stream or consumer that exists with other settings.
	ErrMismatch = errors.New("queueing: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("queueing: Run was already called")
	// ErrPoison marks an error as permanent: a job whose [Handler] wraps it is not retried.
	ErrPoison = errors.New("queueing: poison message")
)

// Handler handles one job. It receives the headers and the payload as they were sent,
// and may change them. Its result is the acknowledgement:
//
//	returns            Worker (work queue)                  Member (queue group)
//	nil                ack: removed from the queue          done
//	an error           nak: redelivered after a backoff;    logged; the job is lost
//	                   failed after MaxDeliver attempts
//	wraps ErrPoison    failed after this attempt            logged; the job is lost
//	panics             as an error                          as an error
//
// A Worker may deliver a job more than once, so the handler must be idempotent.
type Handler func(ctx context.Context, job Message) error

// Config configures both forms. The zero Config is ready to use. A field marked WQ
// applies to the work queue only.
type Config struct {
	Concurrency   int           // jobs handled at the same time by this worker or member; 1 if zero
	Prefetch      int           // Worker: jobs fetched beyond Concurrency, none if zero. Member: jobs buffered before it drops any, 524,288 if zero
	MaxAckPending int           // WQ: jobs in flight or in backoff, of all workers; 1,000 if zero
	AckWait       time.Duration // WQ: the server redelivers a job after this time without ack or in-progress; 30s if zero
	MaxDeliver    int           // WQ: delivery attempts before a job fails; 5 if zero
	Backoff       time.Duration // WQ: delay before the second attempt, doubled for each next one, up to a minute; 1s if zero
	Priority      int           // WQ: 0 to 9; a worker above 0 is a standby
	Grace         time.Duration // time for handlers to finish after ctx ends; 10s if zero
	MaxAge        time.Duration // WQ: the stream of failed jobs removes a job after this time; 7 days if zero
	MaxBytes      int64         // WQ: size at which each of the two streams refuses more; unlimited if zero
	Log           *slog.Logger  // what cannot be returned; discarded if nil

	Replicas int                   // WQ: of both streams; 1 if zero
	Storage  jetstream.StorageType // WQ: of both streams; file if zero
	Bind     bool                  // WQ: use what exists, create nothing
	Metadata map[string]string     // WQ: of the streams and the consumer that are created
}

func (c Config) normal(queue string) (Config, error) {
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := errors.Join(
		checkID(queue), setDefault("Concurrency", &c.Concurrency, 1, 1), setDefault("Prefetch", &c.Prefetch, 0, 0),
		setDefault("MaxAckPending", &c.MaxAckPending, 1000, 1), setDefault("MaxDeliver", &c.MaxDeliver, 5, 1),
		setDefault("AckWait", &c.AckWait, 30*time.Second, 100*time.Millisecond), setDefault("Backoff", &c.Backoff, time.Second, time.Millisecond),
		setDefault("Priority", &c.Priority, 0, 0, 9), setDefault("Grace", &c.Grace, 10*time.Second, 1), setDefault("Replicas", &c.Replicas, 1, 1, 5),
		setDefault("MaxAge", &c.MaxAge, 7*24*time.Hour, time.Second), setDefault("MaxBytes", &c.MaxBytes, 0, 0),
	)
	return c, err // not in one statement: c must be read after its defaults are set
}

// newJob returns a copy of msg with the subject <prefix>.<queue>.<id>.
func newJob(prefix, queue, id string, msg *nats.Msg, maxPayload int64) (*nats.Msg, error) {
	if err := cmp.Or(checkID(queue), checkID(id)); err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, fmt.Errorf("%w: the message is nil; use an empty Msg for a job without payload", nats.ErrInvalidMsg)
	}
	if n := int64(len(msg.Data)); n > maxPayload {
		return nil, fmt.Errorf("%w: %d bytes, and the server accepts %d; send a reference to the data", nats.ErrMaxPayload, n, maxPayload)
	}
	header := make(nats.Header, len(msg.Header)+1)
	maps.Copy(header, msg.Header)
	return &nats.Msg{Subject: prefix + "." + queue + "." + id, Header: header, Data: msg.Data}, nil
}

const group = "workers" // the durable consumer, and its one priority group

// JobsStreamConfig returns the stream JOBS_<queue>. It stores a job until the job is
// acknowledged or has failed.
func JobsStreamConfig(queue string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal(queue)
	return jetstream.StreamConfig{
		Name: "JOBS_" + queue, Subjects: []string{"jobs." + queue + ".*"}, Retention: jetstream.WorkQueuePolicy,
		Duplicates: 2 * time.Minute, MaxBytes: cfg.MaxBytes, Discard: jetstream.DiscardNew,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
	}, err
}

// FailedStreamConfig returns the stream FAILED_<queue>, which stores each failed job
// for Config.MaxAge.
func FailedStreamConfig(queue string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal(queue)
	return jetstream.StreamConfig{
		Name: "FAILED_" + queue, Subjects: []string{"failed." + queue + ".*"}, MaxMsgsPerSubject: 1, MaxAge: cfg.MaxAge,
		MaxBytes: cfg.MaxBytes, Discard: jetstream.DiscardNew,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: cfg.Metadata,
	}, err
}

// ConsumerConfig returns the consumer of JOBS_<queue> that all workers share.
func ConsumerConfig(queue string, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal(queue)
	return jetstream.ConsumerConfig{
		Durable: group, AckPolicy: jetstream.AckExplicitPolicy, AckWait: cfg.AckWait, MaxDeliver: -1, MaxAckPending: cfg.MaxAckPending,
		PriorityPolicy: jetstream.PriorityPolicyPrioritized, PriorityGroups: []string{group}, Metadata: cfg.Metadata,
	}, err
}

// Provision creates the streams and the consumer of a queue, or changes each setting
// that is weaker than cfg.
func Provision(ctx context.Context, js jetstream.JetStream, queue string, cfg Config) error {
	_, _, err := openQueue(ctx, js, queue, cfg, true)
	return err
}

// openQueue finds or creates the jobs stream and the consumer of a queue, or provisions
// them.
func openQueue(ctx context.Context, js jetstream.JetStream, queue string, cfg Config, change bool) (s jetstream.Stream, c jetstream.Consumer, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("queueing: queue %s: %w", queue, err)
		}
	}()
	failed, err := FailedStreamConfig(queue, cfg)
	if err != nil {
		return nil, nil, err
	}
	jobs, _ := JobsStreamConfig(queue, cfg)
	workers, _ := ConsumerConfig(queue, cfg)
	const direct = "AllowDirect" // with it, a replica that is behind could reply to Check
	if _, err = open(ctx, streamOf(js, failed.Name), failed, cfg.Bind, change, direct); err != nil {
		return nil, nil, err
	}
	if s, err = open(ctx, streamOf(js, jobs.Name), jobs, cfg.Bind, change, direct); err != nil {
		return nil, nil, err
	}
	const limit = "MaxAckPending" // a higher one would exceed what cfg promises
	c, err = open(ctx, consumerOf(s, group), workers, cfg.Bind, change, limit)
	return s, c, err
}

func open[T, C any](ctx context.Context, r resource[T, C], want C, bind, change bool, exact string) (T, error) {
	if change {
		return provision(ctx, r, want, exact)
	}
	return ensure(ctx, r, want, bind, exact)
}
