package perkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// deposit and withdraw are the story of every account here: 80 is left.
func deposit(key string) perkey.Event  { return event(key, 1, 100) }
func withdraw(key string) perkey.Event { return event(key, 2, -20) }

func event(key string, version uint64, amount int) perkey.Event {
	return perkey.Event{Key: key, Version: version, Data: []byte(strconv.Itoa(amount))}
}

func quiet(cfg perkey.Config) perkey.Config {
	cfg.Log, cfg.Storage = slog.New(slog.DiscardHandler), jetstream.MemoryStorage
	return cfg
}

// run has a dispatcher of the topic bank apply to b until stop is called, which
// returns what Run does.
func run(t testing.TB, js jetstream.JetStream, b perkey.Ledger, cfg perkey.Config) (stop func() error) {
	t.Helper()
	d, err := perkey.New(t.Context(), js, "bank", "books", quiet(cfg))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx, b) }()
	return func() error { cancel(); return <-done }
}

func publish(t testing.TB, js jetstream.JetStream, events ...perkey.Event) {
	t.Helper()
	for _, e := range events {
		require.NoError(t, perkey.Publish(t.Context(), js, "bank", e))
	}
}

// unsettled is how many messages the consumers have not seen acknowledged.
func unsettled(t testing.TB, js jetstream.JetStream, partitions int) (n int) {
	t.Helper()
	for p := range partitions {
		c, err := js.Consumer(t.Context(), "PERKEY_bank", fmt.Sprint("books-", p))
		require.NoError(t, err)
		n += c.CachedInfo().NumAckPending + int(c.CachedInfo().NumPending)
	}
	return n
}

// permutations returns the orders in which n things can come.
func permutations(n int) (all [][]int) {
	if n == 0 {
		return [][]int{nil}
	}
	for _, p := range permutations(n - 1) {
		for at := range n {
			all = append(all, append(append(append([]int(nil), p[:at]...), n-1), p[at:]...))
		}
	}
	return all
}

// interleavings publishes the stories of two accounts in each order there is, with
// each event failing in turn, before it is in or after, or none; two accounts for each
// history. It returns the accounts.
func interleavings(t testing.TB, js jetstream.JetStream) (keys []string) {
	for i, order := range permutations(4) {
		for fails := range 9 {
			a, b := fmt.Sprintf("a-%d-%d", i, fails), fmt.Sprintf("b-%d-%d", i, fails)
			keys = append(keys, a, b)
			events := []perkey.Event{deposit(a), withdraw(a), deposit(b), withdraw(b)}
			for _, n := range order {
				publish(t, js, events[n])
			}
		}
	}
	return keys
}

// failing has an event fail once, as the name of its account says.
func failing(e perkey.Event, try int) (in bool, err error) {
	var i, fails int
	var account byte
	if _, err := fmt.Sscanf(e.Key, "%c-%d-%d", &account, &i, &fails); err != nil || try > 1 {
		return true, nil
	}
	if which := int(account-'a')*2 + int(e.Version); (fails+1)/2 == which {
		return fails%2 == 0, errors.New("the books are closed for a moment")
	}
	return true, nil
}

// Deposit 100, withdraw 20: 80 is left, and nobody is sent away, in whatever order
// they come, whichever fails.
func TestEveryInterleaving(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
		b.fails = failing
		stop := run(t, s.JetStream("books"), b, perkey.Config{})
		keys := interleavings(t, js)
		time.Sleep(10 * time.Second)
		require.Len(t, keys, 2*24*9)
		for _, k := range keys {
			require.Equal(t, 80, b.now().balance[k], k)
			require.EqualValues(t, 2, b.now().version[k], k)
		}
		require.Zero(t, b.now().overdraw)
		require.Zero(t, b.now().overlaps)
		require.Zero(t, b.now().refused, "the ledger is asked before anything is tried again")
		require.NoError(t, stop())
		require.Zero(t, unsettled(t, js, 1))
	})
}
