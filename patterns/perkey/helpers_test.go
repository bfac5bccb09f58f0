package perkey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// deposit and withdraw are the two events of an account: 80 is left.
func deposit(key string) perkey.Event { return event(key, 1, 100) }

func withdraw(key string) perkey.Event { return event(key, 2, -20) }

func event(key string, version uint64, amount int) perkey.Event {
	return perkey.Event{Key: key, Version: version, Data: []byte(strconv.Itoa(amount))}
}

func quiet(cfg perkey.Config) perkey.Config {
	cfg.Log, cfg.Storage = slog.New(slog.DiscardHandler), jetstream.MemoryStorage
	return cfg
}

// run runs a dispatcher of the topic bank until stop is called, which returns the result
// of Run.
func run(t testing.TB, js jetstream.JetStream, b perkey.Ledger, cfg perkey.Config) (stop func() error) {
	t.Helper()
	d, err := perkey.NewDispatcher(t.Context(), js, "bank", "books", quiet(cfg))
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

// unacked counts the messages that are not acknowledged.
func unacked(t testing.TB, js jetstream.JetStream, partitions int) (n int) {
	t.Helper()
	for p := range partitions {
		c, err := js.Consumer(t.Context(), "PERKEY_bank", fmt.Sprint("books-", p))
		require.NoError(t, err)
		n += c.CachedInfo().NumAckPending + int(c.CachedInfo().NumPending)
	}
	return n
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// bank is a ledger in memory. A lock replaces the transaction of a database.
type bank struct {
	takes time.Duration                                      // duration of Apply
	fails func(e perkey.Event, try int) (in bool, err error) // the failure of an attempt, before or after the event is stored; none if nil

	mu sync.Mutex
	books
}

type books struct {
	balance  map[string]int
	version  map[string]uint64
	tries    map[string]int // by key and version
	busy     map[string]int
	log      map[string][]uint64 // the versions applied, by key
	asked    int                 // calls of Last
	most     int                 // keys at the same time
	overlaps int                 // events applied at the same time as another of the key
	refused  int                 // events with a wrong version
	overdraw int                 // withdrawals above the balance
	end      time.Time
}

func newBank(takes time.Duration) *bank {
	return &bank{takes: takes, books: books{balance: map[string]int{}, version: map[string]uint64{}, tries: map[string]int{}, busy: map[string]int{}, log: map[string][]uint64{}}}
}

// now returns a copy of the state.
func (b *bank) now() books {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.books
	c.balance, c.version, c.tries, c.busy = maps.Clone(c.balance), maps.Clone(c.version), maps.Clone(c.tries), nil
	c.log = maps.Clone(c.log)
	return c
}

var errRefused = errors.New("not the next version")

func (b *bank) Last(_ context.Context, key string) (uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return b.version[key], nil
}

func (b *bank) Apply(ctx context.Context, e perkey.Event) error {
	id := e.Key + "." + strconv.FormatUint(e.Version, 10)
	b.mu.Lock()
	b.busy[e.Key]++
	if b.busy[e.Key] > 1 {
		b.overlaps++
	}
	b.most = max(b.most, len(b.busy))
	b.tries[id]++
	try := b.tries[id]
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		if b.busy[e.Key]--; b.busy[e.Key] == 0 {
			delete(b.busy, e.Key)
		}
		b.mu.Unlock()
	}()
	select {
	case <-time.After(b.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	in, fail := true, error(nil)
	if b.fails != nil {
		in, fail = b.fails(e, try)
	}
	if !in {
		return fail
	}
	return errors.Join(b.book(e, true), fail)
}

// book changes the balance. If checked, it refuses an event that is not the next one.
func (b *bank) book(e perkey.Event, checked bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if checked && e.Version != b.version[e.Key]+1 {
		b.refused++
		return errRefused
	}
	amount, err := strconv.Atoi(string(e.Data))
	if err != nil {
		return err
	}
	b.end = time.Now()
	b.log[e.Key] = append(b.log[e.Key], e.Version)
	b.version[e.Key] = max(b.version[e.Key], e.Version)
	if b.balance[e.Key]+amount < 0 {
		b.overdraw++ // the withdrawal is refused
		return nil
	}
	b.balance[e.Key] += amount
	return nil
}

// wrong counts the accounts with a balance other than 80.
func (b *bank) wrong(keys []string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keys {
		if b.balance[k] != 80 {
			n++
		}
	}
	return n
}

func accounts(n int) (keys []string) {
	for k := range n {
		keys = append(keys, fmt.Sprint("account-", k))
	}
	return keys
}
