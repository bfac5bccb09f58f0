package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("schedule: bad ID")
	// ErrConfig reports a bad Config field.
	ErrConfig = errors.New("schedule: bad config")
	// ErrMismatch reports a stream or consumer with weaker settings.
	ErrMismatch = errors.New("schedule: exists with other settings; change Config or call Provision")
	// ErrTime reports a bad time: a bad cron expression, or a fraction of a second.
	ErrTime = errors.New("schedule: bad time")
	// ErrPast reports a time in the past.
	ErrPast = errors.New("schedule: the time is in the past")
	// ErrMessage reports a message that cannot be scheduled.
	ErrMessage = errors.New("schedule: bad message")
	// ErrNotFound reports that no message is scheduled under an ID.
	ErrNotFound = errors.New("schedule: no message is scheduled")
	// ErrExpired reports a message whose deadline has passed.
	ErrExpired = errors.New("schedule: expired")
	// ErrDeadline reports a deadline that cannot be parsed.
	ErrDeadline = errors.New("schedule: bad deadline; use RFC 3339")
)

// Headers of a scheduled message, and of the same message when it is due.
const (
	HeaderWhen     = "Schedule-When"     // "@at …", "@every 10s", or a cron expression and its zone
	HeaderBy       = "Schedule-By"       // the name of the connection that scheduled it
	HeaderDeadline = "Schedule-Deadline" // see SetDeadline; also of messages that were not scheduled
)

// Config is the same for all users of a calendar. The zero Config is ready to use.
type Config struct {
	MaxAge   time.Duration         // a due message is removed after it; 7 days if zero
	Replicas int                   // of the stream; 1 if zero
	Storage  jetstream.StorageType // of the stream; file if zero
	Bind     bool                  // never create the stream or a consumer
	Metadata map[string]string     // of the stream and the consumers that New and Consumer create
}

const (
	week    = 7 * 24 * time.Hour
	century = 100 * 365 * 24 * time.Hour // a longer TTL can overflow the server's count of nanoseconds; see maxTime
)

func (c Config) normal() (Config, error) {
	err := errors.Join(setDefault("MaxAge", &c.MaxAge, week, time.Second), setDefault("Replicas", &c.Replicas, 1, 1, 5))
	if c.MaxAge > century || c.MaxAge%time.Second != 0 {
		err = errors.Join(err, fmt.Errorf("%w: MaxAge is %v; use whole seconds, at most %v", ErrConfig, c.MaxAge, century))
	}
	return c, err
}

// StreamConfig returns the stream of the calendar with that name. It has no limits: a
// stream with schedules discards old messages, and a limit would remove schedules.
func StreamConfig(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.StreamConfig{
		Name: "SCHEDULE_" + name, Subjects: []string{subject(name, "*", "plan.*"), subject(name, "*", "due"), subject(name, "*", "cancelled")},
		AllowMsgSchedules: true, AllowMsgTTL: true, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, errors.Join(err, checkID(name))
}

// ConsumerConfig returns the durable consumer of due messages.
func ConsumerConfig(name, durable string, cfg Config) (jetstream.ConsumerConfig, error) {
	cfg, err := cfg.normal()
	return jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: subject(name, "*", "due"), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 30 * time.Second, MaxDeliver: -1, Metadata: maps.Clone(cfg.Metadata),
	}, errors.Join(err, checkID(name), checkID(durable))
}

func subject(name, id, what string) string { return "schedule." + name + "." + id + "." + what }

// Provision creates the stream of the calendar, or strengthens its settings to those
// of StreamConfig. Nothing else here changes an existing stream.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	want, err := StreamConfig(name, cfg)
	if err != nil {
		return err
	}
	if _, err = provision(ctx, streamOf(js, want.Name), want); err != nil {
		return fmt.Errorf("schedule: provision %s: %w", name, err)
	}
	return nil
}
