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

// story publishes n events of each key. Their versions count per key, or if shared,
// over all keys.
func story(t testing.TB, js jetstream.JetStream, keys, n int, shared bool) {
	t.Helper()
	number := uint64(0)
	for i := range n {
		for k := range keys {
			number++
			e := event("account-"+strconv.Itoa(k), uint64(i)+1, 1)
			if shared {
				e.Key, e.Version = "all", number
			}
			publish(t, js, e)
		}
	}
}

// One version for all keys serializes them. One version per key does not. On the fake
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
				_, err := perkey.NewDispatcher(t.Context(), js, "bank", "books", quiet(perkey.Config{}))
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
				require.Equal(t, c.most, b.most, "accounts at the same time")
				require.Equal(t, c.want, b.end.Sub(start).Round(time.Millisecond))
			})
		})
	}
}

// Workers per key without versions keep the order until a process crashes: its event is
// redelivered after a later one.
func TestWithoutVersions(t *testing.T) {
	for name, c := range map[string]struct {
		dispatcher bool
		ledger     func(*bank) perkey.Ledger
		want       []uint64
	}{
		"per key, in the order of arrival": {false, func(b *bank) perkey.Ledger { return careless{b} }, []uint64{2, 1}},
		"per key and version":              {true, func(b *bank) perkey.Ledger { return b }, []uint64{1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b, cfg := s.JetStream("owner"), newBank(time.Second), quiet(perkey.Config{Concurrency: 16, Partitions: 1})
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
				s.Link("one").Down() // with the deposit in flight, soon after a pull request
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

// dead is the ledger of a process that crashes before it writes.
type dead struct{ *bank }

func (dead) Apply(context.Context, perkey.Event) error { return errors.New("not stored") }
