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

// mortal is a process's way to the bank, which ends with the process.
type mortal struct {
	*bank
	life context.Context
	twin bool // it has no mood, and takes everything once, in any order
	mu   *sync.Mutex
	r    *rand.Rand
}

func (m mortal) Apply(_ context.Context, e perkey.Event) error {
	m.mu.Lock()
	takes, mood := time.Duration(m.r.IntN(200))*time.Millisecond, m.r.IntN(8)
	m.mu.Unlock()
	time.Sleep(takes)
	switch {
	case m.life.Err() != nil || !m.twin && mood == 0:
		return errors.New("not in")
	case !m.twin && mood == 1:
		return errors.Join(m.book(e, true), errors.New("in, perhaps"))
	}
	if m.twin {
		return m.once(e)
	}
	return m.book(e, true)
}

// work is a process, from its start until ctx ends or its connection is closed.
type work func(ctx context.Context, js jetstream.JetStream, ledger perkey.Ledger) error

func honest(cfg perkey.Config) work {
	return func(ctx context.Context, js jetstream.JetStream, ledger perkey.Ledger) error {
		d, err := perkey.New(ctx, js, "bank", "books", cfg)
		if err != nil {
			return err
		}
		return d.Run(ctx, ledger)
	}
}

// lives has one process after the other do the work, each of which ends in order or
// dies with events in hand, and the last of which stays until ctx ends.
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

// history has two processes apply what two publishers send, while links are cut and
// slow, processes die, the ledger fails at times and the server may restart. It
// returns what is amiss when all is calm again.
func history(t *testing.T, seed uint64, do func(perkey.Config) work, twin bool) (amiss string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		r := rand.New(rand.NewPCG(seed, 0))
		own := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
		cfg := quiet(perkey.Config{Partitions: 1 + r.IntN(3), Workers: 1 + r.IntN(4), Room: 4 + r.IntN(30), Patience: 2 * time.Second, Takeover: 4 * time.Second})
		restart := seed%6 == 5
		if restart { // files are slow
			cfg.Storage = jetstream.FileStorage
		}
		require.NoError(t, perkey.Provision(t.Context(), s.JetStream("admin"), "bank", "books", cfg))
		b, ctx := newBank(0), t.Context()
		ctx, stop := context.WithCancel(ctx)
		calm := time.Now().Add(15 * time.Second)
		var all, publishing sync.WaitGroup
		for i, name := range []string{"one", "two"} {
			all.Go(func() {
				lives(ctx, s, name, own(uint64(10+i)), calm, do(cfg), mortal{bank: b, twin: twin, mu: new(sync.Mutex), r: own(uint64(20 + i))})
			})
			js, of := s.JetStream("teller-"+name), own(uint64(30+i))
			publishing.Go(func() { tell(ctx, js, of, i) })
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
				amiss += fmt.Sprintf("%s: %d, not %d; ", key, b.balance[key], want)
			}
			for i, v := range b.log[key] {
				if v != uint64(i)+1 {
					amiss += fmt.Sprintf("%s: %v; ", key, b.log[key])
					break
				}
			}
		}
		if amiss == "" && (b.overdraw > 0 || len(b.log["account-0"]) != sweepEvents) {
			amiss = "overdrawn, or not all in"
		}
	})
	return amiss
}

// tell publishes one half of the events, in any order, and some again.
func tell(ctx context.Context, js jetstream.JetStream, r *rand.Rand, half int) {
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

// Whatever is cut, killed or restarted, and in whatever order events are published:
// each has its effect once, in the order of its key. The seed of a history that
// fails is printed.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		if amiss := history(t, seed, honest, false); amiss != "" {
			t.Fatalf("seed %d: %s", seed, amiss)
		}
	}
}

// The same histories, applied as they come.
func TestSweepFindsTwin(t *testing.T) {
	found := 0
	for seed := range uint64(4) {
		if amiss := history(t, seed, func(cfg perkey.Config) work { return naive(false, cfg) }, true); amiss != "" {
			t.Logf("seed %d: %s", seed, amiss)
			found++
		}
	}
	require.Equal(t, 4, found)
}
