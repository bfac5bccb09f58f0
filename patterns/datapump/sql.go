package datapump

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The position of each pump is a row of a table in the database.
const (
	createPositions = `CREATE TABLE IF NOT EXISTS datapump_positions (pump TEXT PRIMARY KEY, seq BIGINT NOT NULL)`
	insertPosition  = `INSERT INTO datapump_positions (pump, seq) VALUES ($1, 0) ON CONFLICT DO NOTHING`
	selectPosition  = `SELECT seq FROM datapump_positions WHERE pump = $1`
	movePosition    = `UPDATE datapump_positions SET seq = $1 WHERE pump = $2 AND seq = $3`
)

// sqlStore is a store in an SQL database.
type sqlStore struct {
	db        *sql.DB
	insert    func(context.Context, *sql.Tx, []Row) error
	isInvalid func(error) bool // whether a row is the cause of the error
}

// SQLite returns a store in a database of the driver modernc.org/sqlite. Open it
// with journal mode WAL; otherwise a long query blocks the pump.
func SQLite(db *sql.DB) Store { return &sqlStore{db, insertEach, isInvalidSQLite} }

// Postgres returns a store in a database of the driver github.com/jackc/pgx/v5/stdlib.
func Postgres(db *sql.DB) Store { return &sqlStore{db, insertJSON, isInvalidPostgres} }

func (s *sqlStore) Position(ctx context.Context, pump string) (seq uint64, err error) {
	err = s.db.QueryRowContext(ctx, selectPosition, pump).Scan(&seq)
	if err == nil {
		return seq, nil
	}
	if !errors.Is(err, sql.ErrNoRows) { // the table is missing; a pump may not have the permission to create it otherwise
		if _, failed := s.db.ExecContext(ctx, createPositions); failed != nil {
			return 0, errors.Join(err, failed)
		}
	}
	if _, err = s.db.ExecContext(ctx, insertPosition, pump); err == nil {
		err = s.db.QueryRowContext(ctx, selectPosition, pump).Scan(&seq) // another pump can have been faster
	}
	return seq, err
}

func (s *sqlStore) Apply(ctx context.Context, pump string, from, to uint64, rows []Row) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()                                          // does nothing after a commit
	moved, err := tx.ExecContext(ctx, movePosition, int64(to), pump, int64(from)) // waits for another pump's commit
	if err != nil {
		return err
	}
	if n, err := moved.RowsAffected(); err != nil || n == 0 {
		return errors.Join(ErrFenced, err)
	}
	err = s.insert(ctx, tx, rows)
	if err == nil {
		err = tx.Commit()
	}
	if err != nil && s.isInvalid(err) {
		return fmt.Errorf("%w: %w", ErrInvalidRow, err)
	}
	return err
}

// insertEach executes a prepared statement for each row: the database is in this
// process, and a bound float64 keeps all its bits.
func insertEach(ctx context.Context, tx *sql.Tx, rows []Row) error {
	statements := map[*Table]*sql.Stmt{}
	for _, r := range rows {
		if statements[r.Table] == nil {
			marks := strings.TrimSuffix(strings.Repeat("?, ", len(r.Values)), ", ")
			prepared, err := tx.PrepareContext(ctx, insertSQL(r.Table, "VALUES ("+marks+")"))
			if err != nil {
				return err
			}
			statements[r.Table] = prepared
		}
		values := slices.Clone(r.Values)
		for i, v := range values {
			if document, ok := v.(json.RawMessage); ok {
				values[i] = string(document) // the driver stores bytes as a BLOB
			}
		}
		if _, err := statements[r.Table].ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return nil
}

// insertJSON executes a statement for each table, in the order of their first rows,
// because a round trip for each row is slow. The server parses each JSON value as the
// type of its column. A statement may replace a row only once: of rows with one key it
// takes the last.
func insertJSON(ctx context.Context, tx *sql.Tx, rows []Row) error {
	var tables []*Table
	arrays := map[*Table][]byte{} // of JSON objects
	for _, r := range rows {
		separator := byte(',')
		if arrays[r.Table] == nil {
			tables, separator = append(tables, r.Table), '['
		}
		arrays[r.Table] = append(append(arrays[r.Table], separator), r.Data...)
	}
	for _, t := range tables {
		source := fmt.Sprintf("SELECT %s FROM json_populate_recordset(NULL::%q, $1::text::json)", quoted(t.columns()), t.Name)
		if len(t.Key) > 0 {
			source = fmt.Sprintf(`SELECT DISTINCT ON (%[1]s) %[2]s FROM json_array_elements($1::text::json) WITH ORDINALITY AS e(v, n),
				json_populate_record(NULL::%[3]q, v) ORDER BY %[1]s, n DESC`, quoted(t.Key), quoted(t.columns()), t.Name)
		}
		if _, err := tx.ExecContext(ctx, insertSQL(t, source), string(arrays[t])+"]"); err != nil {
			return err
		}
	}
	return nil
}

// insertSQL returns the statement that adds the rows of source, or replaces the rows
// with their keys.
func insertSQL(t *Table, source string) string {
	insert := fmt.Sprintf("INSERT INTO %q (%s) %s", t.Name, quoted(t.columns()), source)
	if len(t.Key) == 0 {
		return insert
	}
	var sets []string
	for _, c := range t.Columns {
		sets = append(sets, fmt.Sprintf("%q = excluded.%[1]q", c.Name))
	}
	return insert + " ON CONFLICT (" + quoted(t.Key) + ") DO UPDATE SET " + strings.Join(sets, ", ")
}

func quoted(identifiers []string) string { return `"` + strings.Join(identifiers, `", "`) + `"` }

// isInvalidSQLite recognizes SQLITE_TOOBIG, SQLITE_CONSTRAINT and SQLITE_MISMATCH.
func isInvalidSQLite(err error) bool {
	var coded interface{ Code() int }
	return errors.As(err, &coded) && slices.Contains([]int{18, 19, 20}, coded.Code()&0xff)
}

// isInvalidPostgres recognizes the classes of SQLSTATE that have a row as their cause:
// two rows with one key, bad data, a constraint, the check of a view, a limit such as
// that of an index, and an error of a trigger.
func isInvalidPostgres(err error) bool {
	var coded interface{ SQLState() string }
	return errors.As(err, &coded) && slices.Contains([]string{"21", "22", "23", "44", "54", "P0"}, fmt.Sprintf("%.2s", coded.SQLState()))
}
