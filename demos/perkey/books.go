package main

import (
	"context"
	"fmt"
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
func (b *books) book(who, account string, amount int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.enter(who, account, amount)
}

func (b *books) enter(who, account string, amount int) {
	if b.balance[account]+amount < 0 {
		b.e.Printf("%-18s %s %+d: refused, there is %d", who, account, amount, b.balance[account])
		return
	}
	b.balance[account] += amount
	b.e.Printf("%-18s %s %+d: there is %d", who, account, amount, b.balance[account])
}

// booked reads what a booking says.
func booked(data []byte) (account string, amount int, err error) {
	_, err = fmt.Sscan(string(data), &account, &amount)
	return account, amount, err
}

// counting is how long it takes to count an amount.
func counting(amount int) time.Duration {
	if amount == -20 {
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
	account, amount, err := booked(e.Data)
	if err != nil {
		return err
	}
	select {
	case <-time.After(counting(amount)):
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
	d.enter(d.name, account, amount)
	return nil
}
