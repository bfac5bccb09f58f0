package datapump

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

type postgres struct {
	pool   *pgxpool.Pool
	schema Schema
}

// Postgres returns the store in the database of pool. Rows of a table without a key
// are copied into it, others by way of a temporary table.
func Postgres(pool *pgxpool.Pool, schema Schema) (Store, error) {
	if pool == nil {
		return nil, fmt.Errorf("%w: pool is nil", ErrConfig)
	}
	return &postgres{pool, schema}, schema.check()
}

func (p *postgres) Schema() Schema { return p.schema }
func (p *postgres) Limit() int     { return 0 }

func (p *postgres) Applied(ctx context.Context, pump string) (seq uint64, err error) {
	if err = p.pool.QueryRow(ctx, selectApplied, pump).Scan(&seq); err == nil {
		return seq, nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42P01" { // no such table; not asked for by all, as not all may
		_, err = p.pool.Exec(ctx, createApplied)
	}
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		_, err = p.pool.Exec(ctx, insertApplied, pump)
	}
	return 0, err // if another pump was quicker, Apply finds out
}

func (p *postgres) Apply(ctx context.Context, pump string, from, to uint64, rows []Row) error {
	var tables []*Table // in the order in which they are first written
	text := map[*Table]*bytes.Buffer{}
	for _, r := range rows {
		if text[r.Table] == nil {
			tables, text[r.Table] = append(tables, r.Table), &bytes.Buffer{}
		}
		writeText(text[r.Table], r.Values)
	}
	return blamePostgres(pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		moved, err := tx.Exec(ctx, moveApplied, pump, int64(from), int64(to)) // waits for another pump's commit
		if err != nil {
			return err
		}
		if moved.RowsAffected() == 0 {
			return ErrFenced
		}
		for _, t := range tables {
			if err := copyRows(ctx, tx, t, text[t]); err != nil {
				return err
			}
		}
		return nil
	}))
}

func copyRows(ctx context.Context, tx pgx.Tx, t *Table, text *bytes.Buffer) error {
	into := quoted(t.Name)
	if len(t.Key) > 0 {
		into = quoted("datapump " + t.Name) // no table of a schema has a space in its name
		stage := fmt.Sprintf("CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA", into, columns(t), quoted(t.Name))
		if _, err := tx.Exec(ctx, stage); err != nil {
			return err
		}
	}
	_, err := tx.Conn().PgConn().CopyFrom(ctx, text, fmt.Sprintf("COPY %s (%s) FROM STDIN", into, columns(t)))
	if err == nil && len(t.Key) > 0 {
		_, err = tx.Exec(ctx, insert(t, fmt.Sprintf("SELECT %s FROM %s", columns(t), into)))
	}
	return err
}

var escaped = strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`)

// writeText adds a line in the text format of COPY, in which the server parses each
// value as its column wants it.
func writeText(b *bytes.Buffer, values []any) {
	for i, v := range values {
		if i > 0 {
			b.WriteByte('\t')
		}
		switch v := v.(type) {
		case nil:
			b.WriteString(`\N`)
		case string:
			_, _ = escaped.WriteString(b, v) // a Buffer takes anything
		case json.RawMessage:
			_, _ = escaped.WriteString(b, string(v))
		case int64:
			b.Write(strconv.AppendInt(b.AvailableBuffer(), v, 10))
		case float64:
			b.Write(strconv.AppendFloat(b.AvailableBuffer(), v, 'g', -1, 64))
		case bool:
			b.Write(strconv.AppendBool(b.AvailableBuffer(), v))
		}
	}
	b.WriteByte('\n')
}

// blamePostgres finds out whether a row is at fault. The classes are: two rows that are one
// to the database alone, bad data, a constraint, a view's check, a limit such as that
// of an index, and what a trigger raises.
func blamePostgres(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && slices.Contains([]string{"21", "22", "23", "44", "54", "P0"}, refused.Code[:2]) {
		return fmt.Errorf("%w: %w", ErrRow, err)
	}
	return err
}

// Query lets the database write the JSON, as it alone knows all its types, and
// numbers larger than a float64.
func (p *postgres) Query(ctx context.Context, st Statement, args []any) iter.Seq2[[]byte, error] {
	sql := "SELECT row_to_json(answer)::text FROM (" + strings.TrimRight(st.SQL, "; \t\n") + "\n) answer"
	return func(yield func([]byte, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		rows, err := p.pool.Query(ctx, sql, args...)
		if err != nil {
			cancel()
			yield(nil, err)
			return
		}
		defer rows.Close()
		defer cancel() // first, or Close would read the result to its end
		for rows.Next() {
			if !yield(bytes.Clone(rows.RawValues()[0]), nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(nil, err)
		}
	}
}
