package controlplane

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("controlplane: bad id")
	// ErrConfig reports a Config, or a Desired, that makes no sense.
	ErrConfig = errors.New("controlplane: bad config")
	// ErrMismatch reports a bucket that exists but is not as the pattern needs it.
	ErrMismatch = errors.New("controlplane: exists, but differs")
	// ErrFenced reports a write of a controller whose term is over. Nothing was
	// written.
	ErrFenced = errors.New("controlplane: another controller may be active; the write was refused")
	// ErrRefused reports a change or a command that an agent will not carry out. A
	// handler wraps it to refuse for good, with the reason.
	ErrRefused = errors.New("controlplane: refused")
	// ErrNobody reports a command that no agent heard.
	ErrNobody = errors.New("controlplane: no agent there")
	// ErrTwice reports that Run was called again.
	ErrTwice = errors.New("controlplane: Run was called twice")
)

// Config tunes controllers and agents, which have to agree on Bucket. The zero
// Config is ready to use.
type Config struct {
	Bucket   string                // of desired and observed state; "control" if empty
	Lease    time.Duration         // a controller that is silent for longer is replaced; 5s if zero, at least 1s
	Retry    time.Duration         // first wait of an agent before it tries again to apply, doubled up to 32 times; 1s if zero
	Grace    time.Duration         // how long a handler may go on once ctx has ended; 10s if zero
	Replicas int                   // of the bucket; 1 if zero
	Storage  jetstream.StorageType // of the bucket; file if zero
	Metadata map[string]string     // put on the bucket that New creates
	Bind     bool                  // never create the bucket
	Log      *slog.Logger          // what is retried; discarded if nil
}

func (c Config) normal() (Config, error) {
	c.Bucket = cmp.Or(c.Bucket, "control")
	c.Lease = cmp.Or(c.Lease, 5*time.Second)
	c.Retry = cmp.Or(c.Retry, time.Second)
	c.Grace = cmp.Or(c.Grace, 10*time.Second)
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	switch {
	case checkID(c.Bucket) != nil:
		return c, fmt.Errorf("%w: Bucket %.80q", ErrConfig, c.Bucket)
	case c.Lease < time.Second:
		return c, fmt.Errorf("%w: Lease is %v; a key lives for 1s at least", ErrConfig, c.Lease)
	case c.Retry < 0 || c.Grace < 0:
		return c, fmt.Errorf("%w: Retry %v, Grace %v; neither may be negative", ErrConfig, c.Retry, c.Grace)
	case c.Replicas < 1 || c.Replicas > 5:
		return c, fmt.Errorf("%w: Replicas is %d; it must be from 1 to 5", ErrConfig, c.Replicas)
	}
	return c, nil
}

// State is what an instance does.
type State string

const (
	Running  State = "running"
	Paused   State = "paused"   // takes no new work, keeps what it holds
	Draining State = "draining" // takes no new work, finishes what it holds
	Stopped  State = "stopped"
)

// next lists where each state may go. An instance that has just started may go
// anywhere.
var next = map[State][]State{
	"":       {Running, Paused, Draining, Stopped},
	Running:  {Running, Paused, Draining, Stopped},
	Paused:   {Paused, Running, Draining, Stopped},
	Draining: {Draining, Stopped},
	Stopped:  {Stopped, Running, Paused},
}

// Desired is what a controller wants of an instance, or of all instances of a
// service that have no Desired of their own.
type Desired struct {
	State      State   `json:"state"`
	LogLevel   string  `json:"log_level,omitempty"` // debug, info, warn or error; the instance's own if empty
	Rate       float64 `json:"rate,omitempty"`      // work items a second; no limit if zero
	Generation uint64  `json:"-"`                   // grows with each change; the revision of the key
}

func (d Desired) check() error {
	switch {
	case len(next[d.State]) == 0 || d.State == "":
		return fmt.Errorf("%w: state %.40q; use running, paused, draining or stopped", ErrConfig, d.State)
	case !slices.Contains([]string{"", "debug", "info", "warn", "error"}, d.LogLevel):
		return fmt.Errorf("%w: log level %.40q; use debug, info, warn or error", ErrConfig, d.LogLevel)
	case !(d.Rate >= 0 && d.Rate <= 1e12):
		return fmt.Errorf("%w: rate %v; it must not be negative", ErrConfig, d.Rate)
	}
	return nil
}

// Report is what an agent tells of itself.
type Report struct {
	Service    string    `json:"service"`
	Instance   string    `json:"instance"`
	Generation uint64    `json:"generation"` // the latest it has seen, carried out or refused
	State      State     `json:"state"`      // what it does
	LogLevel   string    `json:"log_level,omitempty"`
	Rate       float64   `json:"rate,omitempty"`
	Problem    string    `json:"problem,omitempty"` // why it does not do what that generation wants
	At         time.Time `json:"at"`                // by the agent's clock
}

const (
	leaseKey = "lease"
	desired  = "desired."
	observed = "observed."
)

// keyOf is where the desired state of an instance is kept, or that of a service if
// instance is empty.
func keyOf(prefix, service, instance string) (string, error) {
	if err := checkID(service); err != nil {
		return "", err
	}
	if instance == "" {
		return prefix + service, nil
	}
	return prefix + service + "." + instance, checkID(instance)
}

func encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("controlplane: encode %T: %w", v, err)
	}
	return data, nil
}
