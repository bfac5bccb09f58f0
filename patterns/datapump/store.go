package datapump

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

var (
	// ErrRow is wrapped by a Store's error when a row is to blame: it would be
	// refused again, whenever tried. Any other error is the store's, and may pass.
	ErrRow = errors.New("the store refuses the row")
	// ErrFenced reports that the pump is not where it thought to be: another of the
	// same name is running, or the answer to its last Apply was lost.
	ErrFenced = errors.New("another pump of this name has gone on")
)

// Store is a database behind the pump. [SQLite], [Postgres] and [Bucket] return one.
type Store interface {
	// Schema returns what may be written and asked.
	Schema() Schema
	// Limit returns how many rows an Apply takes; 0 if any number.
	Limit() int
	// Applied returns the sequence of the last message that has taken effect
	// through the pump of that name; 0 if none has.
	Applied(ctx context.Context, pump string) (uint64, error)
	// Apply writes the rows and moves the pump from one sequence to another, all or
	// nothing. No two rows have the same key. It fails with [ErrFenced] when the
	// pump is not at from.
	Apply(ctx context.Context, pump string, from, to uint64, rows []Row) error
	// Query yields the rows of the answer as JSON objects, holding few at a time.
	Query(ctx context.Context, s Statement, args []any) iter.Seq2[[]byte, error]
}

// insert returns the SQL that adds to a table what source yields, or replaces.
func insert(t *Table, source string) string {
	sql := fmt.Sprintf("INSERT INTO %s (%s) %s", quoted(t.Name), columns(t), source)
	if len(t.Key) == 0 {
		return sql
	}
	var keys, sets []string
	for _, c := range t.Columns {
		if q := quoted(c.Name); slices.Contains(t.Key, c.Name) {
			keys = append(keys, q)
		} else {
			sets = append(sets, q+" = excluded."+q)
		}
	}
	sql += " ON CONFLICT (" + strings.Join(keys, ", ") + ") DO "
	if sets == nil {
		return sql + "NOTHING"
	}
	return sql + "UPDATE SET " + strings.Join(sets, ", ")
}

func columns(t *Table) string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = quoted(c.Name)
	}
	return strings.Join(names, ", ")
}

func quoted(identifier string) string { return `"` + identifier + `"` }

// object encodes a row, its columns in order.
func object(names []string, values []any) ([]byte, error) {
	row := []byte{'{'}
	for i, name := range names {
		if i > 0 {
			row = append(row, ',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(values[i])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		row = append(append(append(row, key...), ':'), value...)
	}
	return append(row, '}'), nil
}

// The last sequence applied is in a table of the store, one row for each pump.
const (
	createApplied = `CREATE TABLE IF NOT EXISTS datapump_applied (pump TEXT PRIMARY KEY, seq BIGINT NOT NULL)`
	insertApplied = `INSERT INTO datapump_applied (pump, seq) VALUES ($1, 0) ON CONFLICT DO NOTHING`
	selectApplied = `SELECT seq FROM datapump_applied WHERE pump = $1`
	moveApplied   = `UPDATE datapump_applied SET seq = $3 WHERE pump = $1 AND seq = $2`
)
