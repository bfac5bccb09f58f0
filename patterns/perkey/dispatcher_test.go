package perkey_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// process is the connection of a process to the common bank.
type process struct {
	*bank
	name    string
	applied map[string]string  // the process that applied it, by key and version
	frozen  chan chan struct{} // what a paused process waits for
}

func newProcess(b *bank, name string, applied map[string]string) process {
	return process{b, name, applied, make(chan chan struct{}, 1)}
}

// Apply can pause before it stores the event, and continue too late.
func (p process) Apply(ctx context.Context, e perkey.Event) error {
	select {
	case thaws := <-p.frozen:
		p.frozen <- thaws
		<-thaws
	default:
	}
	err := p.bank.Apply(ctx, e)
	if err == nil {
		p.mu.Lock()
		p.applied[fmt.Sprint(e.Key, ".", e.Version)] = p.name
		p.mu.Unlock()
	}
	return err
}

// freeze pauses the process until the returned channel is closed.
func (p process) freeze() (thaws chan struct{}) {
	thaws = make(chan struct{})
	p.frozen <- thaws
	return thaws
}

// by counts the processes that applied a version of the keys.
func (p process) by(version int, keys []string) map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := map[string]int{}
	for _, k := range keys {
		n[p.applied[fmt.Sprint(k, ".", version)]]++
	}
	return n
}

// The server assigns a key to one partition. A process reads its assigned partitions.
func TestPartitions(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b, applied, keys := s.JetStream("owner"), newBank(0), map[string]string{}, accounts(100)
		one := run(t, s.JetStream("one"), newProcess(b, "one", applied), perkey.Config{Partitions: 4, Assigned: []int{0, 1}})
		two := run(t, s.JetStream("two"), newProcess(b, "two", applied), perkey.Config{Partitions: 4, Assigned: []int{3, 2, 3}})
		for _, k := range keys {
			publish(t, js, deposit(k), withdraw(k))
		}
		time.Sleep(time.Second)
		info, err := must(js.Stream(t.Context(), "PERKEY_bank")).Info(t.Context(), jetstream.WithSubjectFilter(">"))
		require.NoError(t, err)
		half := 0
		for subject, n := range info.State.Subjects {
			part := strings.Split(subject, ".")
			require.EqualValues(t, 2, n, "both events of an account are in one partition: %s", subject)
			if want := map[string]string{"0": "one", "1": "one", "2": "two", "3": "two"}[part[2]]; want != "" {
				require.Equal(t, want, applied[part[3]+".1"], subject)
				require.Equal(t, want, applied[part[3]+".2"], subject)
			}
			if part[2] == "0" || part[2] == "1" {
				half++
			}
		}
		require.Len(t, info.State.Subjects, 100)
		require.InDelta(t, 50, half, 15, "the hash spreads them")
		require.Zero(t, b.wrong(keys))
		require.NoError(t, one())
		require.NoError(t, two())
	})
}

// One of the processes that read a partition is pinned. After it crashes, stops, or is
// disconnected with events in flight, a standby continues in order.
func TestTakeover(t *testing.T) {
	for name, c := range map[string]struct {
		paused time.Duration // one is paused and disconnected; it crashes if more than a minute
		ends   bool          // or it stops in order
		within time.Duration // all events are applied
		last   string        // the process that applies the last event
	}{
		"stopped":         {ends: true, within: 2 * time.Second, last: "two"},
		"crashed":         {paused: time.Hour, within: 11 * time.Second, last: "two"},
		"paused for long": {paused: 30 * time.Second, within: 11 * time.Second, last: "two"},
		"paused a moment": {paused: 2 * time.Second, within: 11 * time.Second, last: "one"},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b, applied, keys := s.JetStream("owner"), newBank(50*time.Millisecond), map[string]string{}, accounts(40)
				cfg := perkey.Config{Partitions: 2, Concurrency: 4}
				p := newProcess(b, "one", applied)
				stop := run(t, s.JetStream("one"), p, cfg)
				time.Sleep(10 * time.Millisecond)
				publish(t, js, deposit("first"))
				time.Sleep(100 * time.Millisecond)
				two := run(t, s.JetStream("two"), newProcess(b, "two", applied), cfg)
				for _, k := range keys {
					publish(t, js, deposit(k))
				}
				time.Sleep(220 * time.Millisecond) // 16 are applied, and 4 are running
				for _, k := range keys {
					publish(t, js, withdraw(k))
				}
				start := time.Now()
				if c.ends {
					require.NoError(t, stop())
				} else {
					thaws := p.freeze()
					s.Link("one").Down()
					time.AfterFunc(min(c.paused, time.Minute), func() {
						<-p.frozen
						close(thaws)
						if c.paused < time.Minute {
							s.Link("one").Up()
						}
					})
				}
				time.Sleep(50 * time.Second)
				t.Log(p.by(1, keys), p.by(2, keys), b.now().end.Sub(start), "refused", b.now().refused)
				require.Zero(t, b.wrong(keys))
				require.Zero(t, b.now().overdraw)
				require.LessOrEqual(t, b.now().end.Sub(start), c.within)
				late := deposit("late")
				publish(t, js, late)
				time.Sleep(time.Minute)
				require.Equal(t, map[string]int{c.last: 1}, p.by(1, []string{"late"}))
				require.Zero(t, unacked(t, js, 2))
				if !c.ends {
					require.NoError(t, stop())
				}
				require.NoError(t, two())
			})
		})
	}
}
