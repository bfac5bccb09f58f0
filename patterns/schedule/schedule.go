package schedule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("schedule: bad id")
	// ErrConfig reports a Config that makes no sense; the text names the field.
	ErrConfig = errors.New("schedule: bad config")
	// ErrMismatch reports a stream or consumer that exists and is set up otherwise.
	ErrMismatch = errors.New("schedule: set up otherwise; Provision changes that")
	// ErrWhen reports a time that cannot be planned: a bad cron, part of a second.
	ErrWhen = errors.New("schedule: bad time")
	// ErrPast reports a time that is over: do it now, or not at all.
	ErrPast = errors.New("schedule: the time is past")
	// ErrMessage reports a message that cannot be planned.
	ErrMessage = errors.New("schedule: bad message")
	// ErrNone reports that nothing is planned under an id.
	ErrNone = errors.New("schedule: nothing is planned")
	// ErrExpired reports a message whose deadline is past.
	ErrExpired = errors.New("schedule: expired")
	// ErrDeadline reports a deadline that nobody can read.
	ErrDeadline = errors.New("schedule: bad deadline; use RFC 3339")
)

// Headers of a message that is planned, and of the same one when it is due.
const (
	HeaderWhen     = "Schedule-When"     // "@at …", "@every 10s", or a cron and its zone
	HeaderBy       = "Schedule-By"       // the name of the connection that planned it
	HeaderDeadline = "Schedule-Deadline" // see SetDeadline; also on messages that were never planned
)

// Config tunes a [Calendar]. The zero Config is ready to use.
type Config struct {
	Keep time.Duration // how long what is due waits for its consumers; a week if zero

	Replicas int                   // 1 if zero
	Storage  jetstream.StorageType // file if zero; what is planned in memory ends with the server
	Bind     bool                  // create nothing: what is missing is an error
	Metadata map[string]string     // put on what New and Consumer create
}

const (
	week    = 7 * 24 * time.Hour
	century = 100 * 365 * 24 * time.Hour // what is kept for longer, the server may find to be over: see end
)

func (c Config) normal() (Config, error) {
	c.Keep, c.Replicas = cmp.Or(c.Keep, week), cmp.Or(c.Replicas, 1)
	if c.Keep < time.Second || c.Keep > century || c.Keep%time.Second != 0 {
		return c, fmt.Errorf("%w: Keep is %v; whole seconds, from 1s to %v", ErrConfig, c.Keep, century)
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		return c, fmt.Errorf("%w: Replicas is %d; from 1 to 5", ErrConfig, c.Replicas)
	}
	return c, nil
}

// Stream returns the stream of the calendar called name. It has no limit but Keep: a limit
// drops what is oldest, which is what was planned long ahead.
func Stream(name string, cfg Config) (jetstream.StreamConfig, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	return jetstream.StreamConfig{
		Name: "SCHEDULE_" + name, Subjects: []string{subject(name, "*", "plan.*"), subject(name, "*", "due"), subject(name, "*", "cancelled")},
		AllowMsgSchedules: true, AllowMsgTTL: true, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1,
		Replicas: cfg.Replicas, Storage: cfg.Storage, Metadata: maps.Clone(cfg.Metadata),
	}, err
}

func subject(name, id, what string) string { return "schedule." + name + "." + id + "." + what }

// Provision creates the stream of the calendar called name, or updates it to cfg.
// Nothing else here changes what exists.
func Provision(ctx context.Context, js jetstream.JetStream, name string, cfg Config) error {
	want, err := Stream(name, cfg)
	if err != nil {
		return err
	}
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Stream, error) { return js.CreateOrUpdateStream(ctx, want) })
	if err != nil {
		return fmt.Errorf("schedule: provision %s: %w", name, err)
	}
	return nil
}
