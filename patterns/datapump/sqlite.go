package datapump

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
)

type sqlite struct {
	db     *sql.DB
	schema Schema
}

// SQLite returns the store in db, made for the driver modernc.org/sqlite. Open it
// with journal mode WAL, or a result that is being read holds up the writing.
func SQLite(db *sql.DB, schema Schema) (Store, error) {
	if db == nil {
		return nil, fmt.Errorf("%w: db is nil", ErrConfig)
	}
	return &sqlite{db, schema}, schema.check()
}

func (s *sqlite) Schema() Schema { return s.schema }
func (s *sqlite) Limit() int     { return 0 }

func (s *sqlite) Applied(ctx context.Context, pump string) (seq uint64, err error) {
	if err = s.db.QueryRowContext(ctx, numbered(selectApplied), pump).Scan(&seq); err == nil {
		return seq, nil
	}
	if _, err = s.db.ExecContext(ctx, createApplied); err == nil {
		_, err = s.db.ExecContext(ctx, numbered(insertApplied), pump)
	}
	return 0, err // if another pump was quicker, Apply finds out
}

func (s *sqlite) Apply(ctx context.Context, pump string, from, to uint64, rows []Row) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing once committed
	moved, err := tx.ExecContext(ctx, numbered(moveApplied), pump, int64(from), int64(to))
	if err != nil {
		return err
	}
	if n, err := moved.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrFenced, err)
	}
	inserts := map[*Table]*sql.Stmt{}
	for _, r := range rows {
		if inserts[r.Table] == nil {
			marks := strings.TrimSuffix(strings.Repeat("?, ", len(r.Values)), ", ")
			if inserts[r.Table], err = tx.PrepareContext(ctx, insert(r.Table, "VALUES ("+marks+")")); err != nil {
				return err
			}
		}
		if _, err := inserts[r.Table].ExecContext(ctx, plain(r.Values)...); err != nil {
			return blameSQLite(err)
		}
	}
	return blameSQLite(tx.Commit())
}

// numbered says a parameter as SQLite does: its $1 is a name, not a number.
func numbered(sql string) string { return strings.ReplaceAll(sql, "$", "?") }

// plain makes text of documents, which the driver would store as bytes.
func plain(values []any) []any {
	for i, v := range values {
		if document, ok := v.(json.RawMessage); ok {
			values = slices.Clone(values)
			values[i] = string(document)
		}
	}
	return values
}

// blameSQLite finds out whether the row is at fault. The codes are SQLite's own.
func blameSQLite(err error) error {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		switch coded.Code() & 0xff {
		case 18, 19, 20: // too big, constraint, mismatch
			return fmt.Errorf("%w: %w", ErrRow, err)
		}
	}
	return err
}

func (s *sqlite) Query(ctx context.Context, st Statement, args []any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		rows, err := s.db.QueryContext(ctx, st.SQL, plain(args)...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { _ = rows.Close() }() // its error is that of rows.Err
		types, err := rows.ColumnTypes()
		values, into, names := make([]any, len(types)), make([]any, len(types)), make([]string, len(types))
		for i := range types {
			into[i], names[i] = &values[i], types[i].Name()
		}
		for err == nil && rows.Next() {
			var row []byte
			if err = rows.Scan(into...); err == nil {
				for i, v := range values {
					values[i] = declared(types[i].DatabaseTypeName(), v)
				}
				row, err = object(names, values)
			}
			if err == nil && !yield(row, nil) {
				return
			}
		}
		if err = errors.Join(err, rows.Err()); err != nil {
			yield(nil, err)
		}
	}
}

// declared makes of a value what its column was declared to hold: SQLite knows
// neither documents nor truth.
func declared(kind string, value any) any {
	switch v := value.(type) {
	case string:
		if kind == "JSON" {
			return json.RawMessage(v)
		}
	case int64:
		if kind == "BOOLEAN" {
			return v != 0
		}
	}
	return value
}
