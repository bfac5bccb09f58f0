package controlplane

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Report is the actual state of an instance, as its agent writes it.
type Report struct {
	Service    string    `json:"service"`
	Instance   string    `json:"instance"`
	Generation uint64    `json:"generation"` // of the latest desired state, reached or not
	State      State     `json:"state"`      // the actual one
	LogLevel   string    `json:"log_level,omitempty"`
	Rate       float64   `json:"rate,omitempty"`
	Problem    string    `json:"problem,omitempty"` // why the desired state is not reached
	At         time.Time `json:"at"`                // by the clock of the agent
}

// Reports returns the last report of each instance of a service, sorted by instance. An
// instance that crashed keeps its last report.
func Reports(ctx context.Context, js jetstream.JetStream, service string, cfg Config) ([]Report, error) {
	cfg, err := cfg.normal()
	if err := cmp.Or(err, checkID(service)); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	reports, err := readReports(ctx, js, service, cfg)
	if err != nil {
		return nil, fmt.Errorf("controlplane: reports of %s: %w", service, err)
	}
	slices.SortFunc(reports, func(a, b Report) int { return strings.Compare(a.Instance, b.Instance) })
	return reports, nil
}

func readReports(ctx context.Context, js jetstream.JetStream, service string, cfg Config) ([]Report, error) {
	kv, err := openBucket(ctx, js, cfg)
	if err != nil {
		return nil, err
	}
	watch, err := kv.Watch(ctx, actualPrefix+service+".*", jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer func() { _ = watch.Stop() }() // the result is complete
	var reports []Report
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case entry, ok := <-watch.Updates():
			if !ok {
				return nil, nats.ErrConnectionClosed
			}
			if entry == nil { // all keys were received
				return reports, nil
			}
			var r Report
			if err := json.Unmarshal(entry.Value(), &r); err != nil {
				return nil, fmt.Errorf("key %s: %w", entry.Key(), err)
			}
			reports = append(reports, r)
		}
	}
}

// updateReport changes the report and wakes writeReports.
func (a *Agent) updateReport(change func(r *Report)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.report)
	a.report.At = time.Now()
	a.wakeWriter()
}

func (a *Agent) wakeWriter() {
	select {
	case a.changed <- struct{}{}:
	default: // it is awake
	}
}

// currentReport returns the report that is written next.
func (a *Agent) currentReport() Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.report
}

// writeReports writes the latest report after each change, and retries, until ctx ends.
// The handler does not wait for it.
func (a *Agent) writeReports(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-a.changed:
			if !a.writeReport(ctx) {
				a.wakeWriter()
				select {
				case <-time.After(a.cfg.Backoff):
				case <-ctx.Done():
				}
			}
		}
	}
	if len(a.changed) > 0 {
		a.writeReport(context.WithoutCancel(ctx))
	}
}

func (a *Agent) writeReport(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	data, err := json.Marshal(a.currentReport())
	if err == nil {
		_, err = a.kv.Put(ctx, a.reportKey, data)
	}
	if err != nil {
		a.cfg.Log.Warn("controlplane: report not written", "key", a.reportKey, "err", err)
	}
	return err == nil
}
