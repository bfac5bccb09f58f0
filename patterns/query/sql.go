package query

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// SQLite returns the tables of a database as a source, for the driver
// modernc.org/sqlite. Open it with journal mode WAL; otherwise a query blocks writers.
func SQLite(db *sql.DB) Source { return &sqlSource{db, "%s", rowOfSQLite} }

// Postgres returns the tables of a database as a source, for the driver
// github.com/jackc/pgx/v5/stdlib. The server encodes the rows: it knows all its types.
func Postgres(db *sql.DB) Source {
	return &sqlSource{db, "SELECT row_to_json(result)::text FROM (%s\n) result", rowOfPostgres}
}

type sqlSource struct {
	db     *sql.DB
	format string // of the SQL of a statement
	encode func([]*sql.ColumnType, []any) ([]byte, error)
}

func (s *sqlSource) Query(ctx context.Context, st Statement, args []any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		rows, err := s.db.QueryContext(ctx, fmt.Sprintf(s.format, strings.TrimRight(st.SQL, "; \t\n")), args...)
		if err != nil {
			yield(nil, err)
			return
		}
		defer func() { cancel(); _ = rows.Close() }() // without cancel, Close can read the result to its end; rows.Err has its error
		types, err := rows.ColumnTypes()
		values, into := make([]any, len(types)), make([]any, len(types))
		for i := range values {
			into[i] = &values[i]
		}
		for err == nil && rows.Next() {
			var row []byte
			if err = rows.Scan(into...); err == nil {
				row, err = s.encode(types, values)
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

func rowOfPostgres(_ []*sql.ColumnType, values []any) ([]byte, error) {
	return []byte(values[0].(string)), nil
}

// rowOfSQLite encodes a row as a JSON object, with its columns in order.
func rowOfSQLite(types []*sql.ColumnType, values []any) ([]byte, error) {
	row := []byte{'{'}
	for i, t := range types {
		if i > 0 {
			row = append(row, ',')
		}
		key, err := json.Marshal(t.Name())
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(asDeclared(t.DatabaseTypeName(), values[i]))
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", t.Name(), err)
		}
		row = append(append(append(row, key...), ':'), value...)
	}
	return append(row, '}'), nil
}

// asDeclared converts a value to the declared type of its column: SQLite stores JSON
// as text and a boolean as an integer.
func asDeclared(declared string, value any) any {
	switch v := value.(type) {
	case string:
		if declared == "JSON" {
			return json.RawMessage(v)
		}
	case int64:
		if declared == "BOOLEAN" {
			return v != 0
		}
	}
	return value
}
