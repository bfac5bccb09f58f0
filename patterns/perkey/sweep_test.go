package perkey_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

var histories = flag.Uint64("histories", 6, "fault histories to go through")

const (
	sweepKeys   = 4
	sweepEvents = 8 // of each key
)

// mortal is the connection of a process to the bank. It ends with the process.
type mortal struct {
	*bank
	life   context.Context
	mutant bool // it never fails, and applies each event once, in any order
	mu     *sync.Mutex
	r      *rand.Rand
}

func (m mortal) Apply(_ context.Context, e perkey.Event) error {
	m.mu.Lock()
	takes, outcome := time.Duration(m.r.IntN(200))*time.Millisecond, m.r.IntN(8)
	m.mu.Unlock()
	time.Sleep(takes)
	switch {
	case m.life.Err() != nil || !m.mutant && outcome == 0:
		return errors.New("not stored")
	case !m.mutant && outcome == 1:
		return errors.Join(m.book(e, true), errors.New("stored, but the reply was lost"))
	}
	if m.mutant {
		return m.once(e)
	}
	return m.book(e, true)
}

// work is a process until ctx ends or its connection is closed.
type work func(ctx context.Context, js jetstream.JetStream, ledger perkey.Ledger) error

func honest(cfg perkey.Config) work {
	return func(ctx context.Context, js jetstream.JetStream, ledger perkey.Ledger) error {
		d, err := perkey.NewDispatcher(ctx, js, "bank", "books", cfg)
		if err != nil {
			return err
		}
		return d.Run(ctx, ledger)
	}
}

// lives runs one process after the other. Each stops in order, or crashes with events in
// flight. The last one runs until ctx ends.
func lives(ctx context.Context, s *natstest.Server, name string, r *rand.Rand, calm time.Time, do work, ledger mortal) {
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		nc, err := nats.Connect("", nats.Name(name), nats.InProcessServer(s.Link(name)), nats.MaxReconnects(-1),
			nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(0, 0), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		if err != nil {
			continue
		}
		life, end := context.WithCancel(ctx)
		run, stop := context.WithCancel(life)
		ledger.life = life
		if left := time.Duration(500+r.IntN(5000)) * time.Millisecond; time.Until(calm) > left {
			dies := r.IntN(2) == 0
			time.AfterFunc(left, func() {
				if dies {
					end()
					nc.Close()
				}
				stop()
			})
		}
		_ = do(run, must(jetstream.New(nc)), ledger)
		stop()
		end()
		nc.Close()
	}
}

// history runs two publishers and two processes, with disconnects, delays, crashes,
// failures of the ledger, and restarts of the server. It returns the violations found
// after the faults.
func history(t *testing.T, seed uint64, do func(perkey.Config) work, mutant bool) (violations string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		r := rand.New(rand.NewPCG(seed, 0))
		own := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
		cfg := quiet(perkey.Config{Partitions: 1 + r.IntN(3), Concurrency: 1 + r.IntN(4), Buffer: 4 + r.IntN(30), GapTimeout: 2 * time.Second, Takeover: 4 * time.Second})
		restart := seed%6 == 5
		if restart { // slower
			cfg.Storage = jetstream.FileStorage
		}
		require.NoError(t, perkey.Provision(t.Context(), s.JetStream("admin"), "bank", "books", cfg))
		b, ctx := newBank(0), t.Context()
		ctx, stop := context.WithCancel(ctx)
		calm := time.Now().Add(15 * time.Second)
		var all, publishing sync.WaitGroup
		for i, name := range []string{"one", "two"} {
			all.Go(func() {
				lives(ctx, s, name, own(uint64(10+i)), calm, do(cfg), mortal{bank: b, mutant: mutant, mu: new(sync.Mutex), r: own(uint64(20 + i))})
			})
			js, of := s.JetStream("teller-"+name), own(uint64(30+i))
			publishing.Go(func() { publishHalf(ctx, js, of, i) })
		}
		faulty, calmed := context.WithDeadline(ctx, calm)
		s.InjectFaults(faulty, r, []string{"one", "two", "teller-one", "teller-two"}, 300*time.Millisecond, restart)
		calmed()
		publishing.Wait()
		time.Sleep(40 * time.Second)
		stop()
		all.Wait()
		for k := range sweepKeys {
			key := fmt.Sprint("account-", k)
			if want := sweepEvents / 2 * 80; b.balance[key] != want {
				violations += fmt.Sprintf("%s: %d, not %d; ", key, b.balance[key], want)
			}
			for i, v := range b.log[key] {
				if v != uint64(i)+1 {
					violations += fmt.Sprintf("%s: %v; ", key, b.log[key])
					break
				}
			}
		}
		if violations == "" && (b.overdraw > 0 || len(b.log["account-0"]) != sweepEvents) {
			violations = "overdrawn, or not all applied"
		}
	})
	return violations
}

// publishHalf publishes one half of the events in any order, and some again.
func publishHalf(ctx context.Context, js jetstream.JetStream, r *rand.Rand, half int) {
	var events []perkey.Event
	for v := range uint64(sweepEvents) {
		for k := range sweepKeys {
			if int(v)%2 == half {
				events = append(events, event(fmt.Sprint("account-", k), v+1, []int{100, -20}[half]))
			}
		}
	}
	r.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, e := range append(events, events[:3]...) {
		for ctx.Err() == nil && perkey.Publish(ctx, js, "bank", e) != nil {
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Duration(r.IntN(1200)) * time.Millisecond)
	}
}

// During disconnects, crashes and restarts, each event has its effect once, in the order
// of its key. The seed of a failing history is printed.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		if violations := history(t, seed, honest, false); violations != "" {
			t.Fatalf("seed %d: %s", seed, violations)
		}
	}
}

// The same histories with a process that applies events in the order of arrival.
func TestSweepFindsMutant(t *testing.T) {
	found := 0
	for seed := range uint64(4) {
		if violations := history(t, seed, func(cfg perkey.Config) work { return naive(false, cfg) }, true); violations != "" {
			t.Logf("seed %d: %s", seed, violations)
			found++
		}
	}
	require.Equal(t, 4, found)
}
