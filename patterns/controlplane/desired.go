package controlplane

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// State is what an instance does.
type State string

const (
	Running  State = "running"
	Paused   State = "paused"   // accepts no new work, keeps the work in progress
	Draining State = "draining" // accepts no new work, finishes the work in progress
	Stopped  State = "stopped"
)

// transitions lists the states that may follow a state. An instance that has just
// started may reach any state.
var transitions = map[State][]State{
	"":       {Running, Paused, Draining, Stopped},
	Running:  {Running, Paused, Draining, Stopped},
	Paused:   {Paused, Running, Draining, Stopped},
	Draining: {Draining, Stopped},
	Stopped:  {Stopped, Running, Paused},
}

// Desired is the state that an instance must reach, or every instance of a service that
// has no Desired of its own.
type Desired struct {
	State      State   `json:"state"`
	LogLevel   string  `json:"log_level,omitempty"` // debug, info, warn or error; the default of the instance if empty
	Rate       float64 `json:"rate,omitempty"`      // work items per second; no limit if zero
	Generation uint64  `json:"-"`                   // the revision of the key: it grows with each change
}

func (d Desired) check() error {
	switch {
	case d.State == "" || transitions[d.State] == nil:
		return fmt.Errorf("%w: State is %.40q; use running, paused, draining or stopped", ErrConfig, d.State)
	case !slices.Contains([]string{"", "debug", "info", "warn", "error"}, d.LogLevel):
		return fmt.Errorf("%w: LogLevel is %.40q; use debug, info, warn or error", ErrConfig, d.LogLevel)
	case !(d.Rate >= 0 && d.Rate <= 1e12): // NaN also
		return fmt.Errorf("%w: Rate is %v; use 0 to 1e12", ErrConfig, d.Rate)
	}
	return nil
}

// Writer writes keys of a bucket. A term of package lease is a Writer: the server
// refuses its writes when the term has ended. A jetstream.KeyValue is a Writer too, for
// a system with exactly one controller.
type Writer interface {
	Bucket() string
	Put(ctx context.Context, key string, value []byte) (revision uint64, err error)
}

// Set writes the desired state of an instance, or of the whole service if instance is
// empty, and returns its generation. It takes at most 5 s.
func Set(ctx context.Context, w Writer, service, instance string, d Desired, cfg Config) (generation uint64, err error) {
	cfg, err = cfg.normal()
	if err != nil {
		return 0, err
	}
	if w.Bucket() != cfg.Bucket {
		return 0, fmt.Errorf("%w: the Writer is of bucket %s, the agents use %s; use one bucket", ErrConfig, w.Bucket(), cfg.Bucket)
	}
	key := desiredPrefix + service
	if instance != "" {
		key, err = key+"."+instance, checkID(instance)
	}
	if err := cmp.Or(err, checkID(service), d.check()); err != nil {
		return 0, err
	}
	data, err := json.Marshal(d)
	if err != nil {
		return 0, fmt.Errorf("controlplane: set %s: %w", key, err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	generation, err = w.Put(ctx, key, data)
	if err != nil {
		return 0, fmt.Errorf("controlplane: set %s: %w", key, err)
	}
	return generation, nil
}
