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

// The check of TestFaults sees the bugs it is there for.
func TestFaultsTwins(t *testing.T) {
	for name, twin := range map[string]twin{
		"rows first, then the sequence": func(s datapump.Store, db *sql.DB) datapump.Store { return &naive{Store: s, db: db} },
		"the sequence first, then rows": func(s datapump.Store, db *sql.DB) datapump.Store {
			return &naive{Store: s, db: db, sequenceFirst: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				if err := simulate(t, 2*seed, twin); err != nil {
					t.Log(err)
					return
				}
			}
			t.Fatal("the bug was not seen")
		})
	}
}

// naive remembers the sequence apart from the rows.
type naive struct {
	datapump.Store
	db            *sql.DB
	sequenceFirst bool
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
				return fmt.Errorf("%w: %w", datapump.ErrRow, err)
			}
		}
		return tx.Commit()
	}
	remember := func() error { return n.Store.Apply(ctx, pump, from, to, nil) }
	first, second := write, remember
	if n.sequenceFirst {
		first, second = remember, write
	}
	if err := first(); err != nil {
		return err
	}
	if rand.N(20) == 0 { // the process dies here, and another begins
		return errors.New("died")
	}
	return second()
}
