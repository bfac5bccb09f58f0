package datapump_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/natspatterns/catalog/patterns/datapump"
)

// TestFaults detects a store that does not move the position in the transaction of the rows.
func TestFaultsMutants(t *testing.T) {
	for name, mutate := range map[string]mutant{
		"rows first, then the position": func(s datapump.Store, db *sql.DB) datapump.Store { return &naive{Store: s, db: db} },
		"the position first, then rows": func(s datapump.Store, db *sql.DB) datapump.Store {
			return &naive{Store: s, db: db, positionFirst: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				if err := simulate(t, seed, mutate); err != nil {
					t.Log(err)
					return
				}
			}
			t.Fatal("the bug was not detected")
		})
	}
}

// naive moves the position apart from the rows.
type naive struct {
	datapump.Store
	db            *sql.DB
	positionFirst bool
}

func (n *naive) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	write := func() (err error) {
		tx, err := n.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		for _, r := range rows {
			if _, err := tx.ExecContext(ctx, "INSERT INTO sales VALUES (?, ?)", r.Values...); err != nil {
				return fmt.Errorf("%w: %w", datapump.ErrInvalidRow, err)
			}
		}
		return tx.Commit()
	}
	move := func() error { return n.Store.Apply(ctx, pump, from, to, nil) }
	first, second := write, move
	if n.positionFirst {
		first, second = move, write
	}
	if err := first(); err != nil {
		return err
	}
	if rand.N(20) == 0 { // the process crashes here
		return errors.New("crashed")
	}
	return second()
}
