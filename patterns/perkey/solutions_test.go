package perkey_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// story publishes n events of each key, either numbered by key or all as one; each
// tells the account in its header.
func story(t testing.TB, js jetstream.JetStream, keys, n int, shared bool) {
	t.Helper()
	number := uint64(0)
	for i := range n {
		for k := range keys {
			number++
			e := event("account-"+strconv.Itoa(k), uint64(i)+1, 1)
			if shared { // the last event of all is what counts
				e.Key, e.Version = "all", number
			}
			publish(t, js, e)
		}
	}
}

// One last event for all keys serialises them; one for each does not. On the fake
// clock the difference is exact.
func TestSharedSerialises(t *testing.T) {
	for name, c := range map[string]struct {
		shared bool
		want   time.Duration
		most   int
	}{
		"shared by all":  {true, 10 * 8 * 10 * time.Millisecond, 1},
		"by resource id": {false, 10 * 10 * time.Millisecond, 8},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
				_, err := perkey.New(t.Context(), js, "bank", "books", quiet(perkey.Config{}))
				require.NoError(t, err)
				story(t, js, 8, 10, c.shared)
				start := time.Now()
				stop := run(t, s.JetStream("books"), b, perkey.Config{})
				time.Sleep(5 * time.Second)
				require.NoError(t, stop())
				sum := 0
				for _, balance := range b.balance {
					sum += balance
				}
				require.Equal(t, 80, sum)
				require.Equal(t, c.most, b.most, "accounts at a time")
				require.Equal(t, c.want, b.end.Sub(start).Round(time.Millisecond))
			})
		})
	}
}

// By key, but in the order in which events come, without versions: right until a
// reader dies. What it had in hand comes to the next after what is later.
func TestWithoutVersions(t *testing.T) {
	for name, c := range map[string]struct {
		dispatcher bool
		ledger     func(*bank) perkey.Ledger
		want       []uint64
	}{
		"by key, as they come": {false, func(b *bank) perkey.Ledger { return careless{b} }, []uint64{2, 1}},
		"by key and version":   {true, func(b *bank) perkey.Ledger { return b }, []uint64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b, cfg := s.JetStream("owner"), newBank(time.Second), quiet(perkey.Config{Workers: 16, Partitions: 1})
				require.NoError(t, perkey.Provision(t.Context(), js, "bank", "books", cfg))
				ctx, stop := context.WithCancel(t.Context())
				var all sync.WaitGroup
				start := func(name string, ledger perkey.Ledger) {
					do, js := naive(true, cfg), s.JetStream(name)
					if c.dispatcher {
						do = honest(cfg)
					}
					all.Go(func() { _ = do(ctx, js, ledger) })
				}
				start("one", dead{b})
				publish(t, js, deposit("another")) // it is pinned
				time.Sleep(1900 * time.Millisecond)
				publish(t, js, deposit("a"))
				time.Sleep(50 * time.Millisecond)
				s.Link("one").Down() // with the deposit in hand, and not long after it has asked for more
				start("two", c.ledger(b))
				time.Sleep(time.Second)
				publish(t, js, withdraw("a"))
				time.Sleep(time.Minute)
				stop()
				all.Wait()
				require.Equal(t, c.want, b.log["a"])
			})
		})
	}
}

// dead is the ledger as a process sees it that will not live to write to it.
type dead struct{ *bank }

func (dead) Apply(context.Context, perkey.Event) error { return errors.New("not in") }
