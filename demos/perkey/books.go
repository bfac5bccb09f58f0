package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// books are a bank's: they change in one step, as a database would in a transaction.
type books struct {
	e       *demo.Env
	mu      sync.Mutex
	balance map[string]int
	version map[string]uint64
}

func newBooks(e *demo.Env) *books {
	return &books{e: e, balance: map[string]int{}, version: map[string]uint64{}}
}

// book changes an account, if there is enough on it.
func (b *books) book(who, account, what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enter(who, account, what)
}

func (b *books) enter(who, account, what string) {
	amount, _ := strconv.Atoi(what)
	if b.balance[account]+amount < 0 {
		b.e.Printf("%-18s %s %s: refused, there is %d", who, account, what, b.balance[account])
		return
	}
	b.balance[account] += amount
	b.e.Printf("%-18s %s %s: there is %d", who, account, what, b.balance[account])
}

// counting is how long it takes to count an amount.
func counting(what string) time.Duration {
	if what == "-20" {
		return 100 * ms
	}
	return 300 * ms
}

// desk is where a clerk books; until he faints.
type desk struct {
	*books
	name   string
	faints <-chan struct{}
}

func (d desk) Last(_ context.Context, key string) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.version[key], nil
}

func (d desk) Apply(ctx context.Context, e perkey.Event) error {
	var account, what string
	if _, err := fmt.Sscan(string(e.Data), &account, &what); err != nil {
		return err
	}
	select {
	case <-time.After(counting(what)):
	case <-d.faints:
		<-ctx.Done()
		return ctx.Err()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if last := d.version[e.Key]; e.Version != last+1 {
		return fmt.Errorf("version %d does not follow %d", e.Version, last)
	}
	d.version[e.Key] = e.Version
	d.enter(d.name, account, what)
	return nil
}
