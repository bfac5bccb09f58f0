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

// process is a process's way to the common bank.
type process struct {
	*bank
	name    string
	applied map[string]string  // the process that applied it, by key and version; common to all
	frozen  chan chan struct{} // holds what to wait for, while the process stands still
}

func newProcess(b *bank, name string, applied map[string]string) process {
	return process{b, name, applied, make(chan chan struct{}, 1)}
}

// Apply may stand still with an event in hand, as a paused process would, and go on
// with it when it is late.
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

// freeze has the process stand still, until what is returned is closed.
func (p process) freeze() (thaws chan struct{}) {
	thaws = make(chan struct{})
	p.frozen <- thaws
	return thaws
}

// by is who applied what version of the keys.
func (p process) by(version int, keys []string) map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := map[string]int{}
	for _, k := range keys {
		n[p.applied[fmt.Sprint(k, ".", version)]]++
	}
	return n
}

func accounts(n int) (keys []string) {
	for k := range n {
		keys = append(keys, fmt.Sprint("account-", k))
	}
	return keys
}

// The server puts a key in a partition, always the same, and a process that is given
// some reads those.
func TestPartitions(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b, applied, keys := s.JetStream("owner"), newBank(0), map[string]string{}, accounts(100)
		one := run(t, s.JetStream("one"), newProcess(b, "one", applied), perkey.Config{Partitions: 4, Reads: []int{0, 1}})
		two := run(t, s.JetStream("two"), newProcess(b, "two", applied), perkey.Config{Partitions: 4, Reads: []int{3, 2, 3}})
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

// Of those that read a partition one is pinned. When it dies, when it ends, or when it
// is cut off with work in hand and comes back, the next goes on, in order.
func TestTakeover(t *testing.T) {
	for name, c := range map[string]struct {
		away   time.Duration // one stands still, cut off; for good if more than a minute
		ends   bool          // or it ends in order
		within time.Duration // all is done, from then
		last   string        // who applies what comes at the end
	}{
		"ended":           {ends: true, within: 2 * time.Second, last: "two"},
		"dead":            {away: time.Hour, within: 11 * time.Second, last: "two"},
		"paused for long": {away: 30 * time.Second, within: 11 * time.Second, last: "two"},
		"paused a moment": {away: 2 * time.Second, within: 11 * time.Second, last: "one"},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b, applied, keys := s.JetStream("owner"), newBank(50*time.Millisecond), map[string]string{}, accounts(40)
				cfg := perkey.Config{Partitions: 2, Workers: 4}
				p := newProcess(b, "one", applied)
				stop := run(t, s.JetStream("one"), p, cfg)
				time.Sleep(10 * time.Millisecond)
				publish(t, js, deposit("first"))
				time.Sleep(100 * time.Millisecond)
				two := run(t, s.JetStream("two"), newProcess(b, "two", applied), cfg)
				for _, k := range keys {
					publish(t, js, deposit(k))
				}
				time.Sleep(220 * time.Millisecond) // sixteen are in, and four in hand
				for _, k := range keys {
					publish(t, js, withdraw(k))
				}
				start := time.Now()
				if c.ends {
					require.NoError(t, stop())
				} else {
					thaws := p.freeze()
					s.Link("one").Down()
					time.AfterFunc(min(c.away, time.Minute), func() {
						<-p.frozen
						close(thaws)
						if c.away < time.Minute {
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
				require.Zero(t, unsettled(t, js, 2))
				if !c.ends {
					require.NoError(t, stop())
				}
				require.NoError(t, two())
			})
		})
	}
}

// A reader that has no room for as long as Takeover does not ask any more, and another
// goes on beside it.
func TestOutOfRoom(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b, cfg := s.JetStream("owner"), newBank(0), perkey.Config{Workers: 1, Room: 2}
		one := run(t, s.JetStream("one"), newBank(time.Minute), cfg)
		time.Sleep(time.Second)
		two := run(t, s.JetStream("two"), b, cfg)
		for _, k := range accounts(20) {
			publish(t, js, deposit(k))
		}
		time.Sleep(9 * time.Second)
		require.Empty(t, b.now().balance)
		time.Sleep(10 * time.Second)
		require.Len(t, b.now().balance, 18, "all but what one holds")
		require.NoError(t, one())
		require.NoError(t, two())
	})
}

// The server stops when MaxAckPending events of a partition are out, be they of one key.
func TestReach(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{})
		c := must(js.Consumer(t.Context(), "PERKEY_bank", "books-0")).CachedInfo().Config
		require.Equal(t, 65536, c.MaxAckPending)
		c.MaxAckPending = 10 // too many to wait for here
		must(js.UpdateConsumer(t.Context(), "PERKEY_bank", c))
		for v := range uint64(10) {
			publish(t, js, event("early", v+2, 1))
		}
		publish(t, js, deposit("other"))
		time.Sleep(time.Hour)
		require.Empty(t, b.now().balance, "the other waits, too")
		require.NoError(t, stop())
	})
}
