package datapump_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

// mapStore is a store in memory. It shows what a Store must do: check the position,
// write to a copy, and publish rows and position in one step.
type mapStore struct {
	mu        sync.Mutex
	rows      map[string]datapump.Row // by table and key
	positions map[string]uint64       // by pump
	added     int                     // rows without a key
}

func newMapStore() *mapStore {
	return &mapStore{rows: map[string]datapump.Row{}, positions: map[string]uint64{}}
}

func (m *mapStore) Position(_ context.Context, pump string) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.positions[pump], nil
}

func (m *mapStore) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if m.positions[pump] != from {
		return datapump.ErrFenced
	}
	after, added := maps.Clone(m.rows), m.added
	for _, r := range rows {
		if count, ok := r.Values[min(2, len(r.Values)-1)].(int64); ok && count < 0 || r.Values[1] == "stolen" {
			return fmt.Errorf("%w: %s has a constraint", datapump.ErrInvalidRow, r.Table.Name)
		}
		key := fmt.Sprintf("%s %q", r.Table.Name, r.Values[:len(r.Table.Key)])
		if len(r.Table.Key) == 0 {
			added++
			key = fmt.Sprint(r.Table.Name, added)
		}
		after[key] = r
	}
	m.rows, m.added, m.positions[pump] = after, added, to
	return nil
}

// read is for storetest.
func (m *mapStore) read(_ *testing.T, table string) (rows [][]any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		if r.Table.Name == table {
			rows = append(rows, r.Values)
		}
	}
	return rows
}

// A test of a store of your own.
func ExampleStore() {
	_ = func(t *testing.T) { // func TestMapStore(t *testing.T)
		storetest.Test(t, func(*testing.T) (datapump.Store, storetest.Read) {
			m := newMapStore()
			return m, m.read
		})
	}
}
