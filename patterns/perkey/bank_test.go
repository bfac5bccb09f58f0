package perkey_test

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/natspatterns/catalog/patterns/perkey"
)

// bank is a ledger: what it says about an account changes in one step, as it would in
// a transaction.
type bank struct {
	takes time.Duration                                      // as long as it takes to apply an event
	fails func(e perkey.Event, try int) (in bool, err error) // what goes wrong, before the event is in or after; nothing if nil

	mu sync.Mutex
	books
}

type books struct {
	balance  map[string]int
	version  map[string]uint64
	tries    map[string]int // by key and version
	busy     map[string]int
	log      map[string][]uint64 // the versions that had their effect, by key
	asked    int                 // times for the last version
	most     int                 // keys at a time
	overlaps int                 // events applied while another of the key was
	refused  int                 // events that did not follow the last one
	overdraw int                 // withdrawals that found too little
	end      time.Time
}

func newBank(takes time.Duration) *bank {
	return &bank{takes: takes, books: books{balance: map[string]int{}, version: map[string]uint64{}, tries: map[string]int{}, busy: map[string]int{}, log: map[string][]uint64{}}}
}

// now returns a copy of the books.
func (b *bank) now() books {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.books
	c.balance, c.version, c.tries, c.busy = maps.Clone(c.balance), maps.Clone(c.version), maps.Clone(c.tries), nil
	c.log = maps.Clone(c.log)
	return c
}

var errRefused = errors.New("not what follows the last one")

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

// book changes the balance; if checked, only by what follows the last event.
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
		b.overdraw++ // the customer is sent away
		return nil
	}
	b.balance[e.Key] += amount
	return nil
}
