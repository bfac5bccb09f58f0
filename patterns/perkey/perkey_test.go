package perkey_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// permutations returns all orders of n things.
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

// interleavings publishes the events of two accounts in each order. In each of the
// histories another event fails, before or after it is stored, or none. Each history
// has two accounts of its own. It returns the accounts.
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

// failing lets an event fail once, as the name of its account says.
func failing(e perkey.Event, try int) (in bool, err error) {
	var i, fails int
	var account byte
	if _, err := fmt.Sscanf(e.Key, "%c-%d-%d", &account, &i, &fails); err != nil || try > 1 {
		return true, nil
	}
	if which := int(account-'a')*2 + int(e.Version); (fails+1)/2 == which {
		return fails%2 == 0, errors.New("the ledger is locked")
	}
	return true, nil
}

// After deposit 100 and withdraw 20, 80 is left, in every order of arrival, and with
// every failure.
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
		require.Zero(t, b.now().refused, "Last is called before a retry")
		require.NoError(t, stop())
		require.Zero(t, unacked(t, js, 1))
	})
}
