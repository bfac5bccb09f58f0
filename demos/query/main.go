// Command query shows a library whose archive replies to named queries: short and large
// results, a slow client, a client that breaks off, a disconnect, and a naive reply.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/query"
)

var play = demo.Play{
	Name:  "query",
	About: "named queries of a database: short and large results, a slow client, a break, a disconnect, a naive reply",
	Lasts: 17 * time.Second,
	Scene: [2]time.Duration{6900 * ms, 7600 * ms},
	Cast:  cast,
}

const ms = time.Millisecond

func main() { play.Main() }

func cast(e *demo.Env) error {
	e.Go("archive", func(ctx context.Context, nc *nats.Conn) error { return archive(ctx, e, nc) })
	e.Go("analyst", func(ctx context.Context, nc *nats.Conn) error { return analyst(ctx, e, nc) })
	return nil
}

// loan is a row of the table loans.
type loan struct {
	N      int    `json:"n"`
	Title  string `json:"title"`
	Branch string `json:"branch"`
}

// inBranch are the arguments of the statement "count".
type inBranch struct {
	Branch string `json:"branch"`
}

var statements = []query.Statement{
	{Name: "count", Args: inBranch{}, SQL: "SELECT count(*) AS loans FROM loans WHERE branch = $1"},
	{Name: "loans", SQL: "SELECT n, title, branch FROM loans ORDER BY n"},
}

const tables = `CREATE TABLE loans (n INTEGER, title TEXT, branch TEXT);
INSERT INTO loans WITH RECURSIVE days(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM days WHERE n < 20000)
	SELECT n, 'Pride and Prejudice', CASE n % 4 WHEN 0 THEN 'north' ELSE 'south' END FROM days`

// observed counts the rows that are read from a source, and its open cursors.
type observed struct {
	query.Source
	rows, cursors atomic.Int64
}

func (o *observed) Query(ctx context.Context, s query.Statement, args []any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		o.cursors.Add(1)
		defer o.cursors.Add(-1)
		for row, err := range o.Source.Query(ctx, s, args) {
			o.rows.Add(1)
			if !yield(row, err) {
				return
			}
		}
	}
}

// archive runs a reader of its database.
func archive(ctx context.Context, e *demo.Env, nc *nats.Conn) (err error) {
	dir, err := os.MkdirTemp("", "library-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "loans")+"?_pragma=journal_mode(wal)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, tables); err != nil {
		return err
	}
	source := &observed{Source: query.SQLite(db)}
	if !e.At(1000 * ms) {
		return nil
	}
	reader, err := query.NewReader(ctx, nc, "library", source, statements, query.Config{Prefetch: 2, Log: e.Log()})
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- reader.Run(ctx) }()

	if e.At(4500 * ms) {
		e.Printf("archive: %d rows read, %d open cursor", source.rows.Load(), source.cursors.Load())
	}
	for _, at := range []time.Duration{7500 * ms, 9300 * ms} {
		if e.At(at) {
			e.Printf("archive: %d open cursors", source.cursors.Load())
		}
	}
	if e.At(15500 * ms) {
		naive(ctx, e, db, nc)
	}
	return errors.Join(err, <-ended)
}

// analyst queries the archive. It knows names of statements, and no SQL.
func analyst(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	count := func(at time.Duration, statement string, args any) {
		if !e.At(at) {
			return
		}
		for row, err := range query.Rows[struct{ Loans int }](ctx, nc, "library", statement, args) {
			if err != nil {
				e.Printf("analyst: %v", err)
				return
			}
			e.Printf("analyst: %d loans in the north", row.Loans)
		}
	}
	e.At(400 * ms)
	e.Tell("The analyst queries before a reader is started. The server replies at once that nobody\nis subscribed.")
	count(500*ms, "count", inBranch{"north"})
	e.At(1400 * ms)
	e.Tell("The archive has started a reader with two statements. A client sends the name of a\nstatement and its arguments. Other names and arguments that do not fit are refused.")
	count(1500*ms, "count", inBranch{"north"})
	count(2000*ms, "count", map[string]int{"branch": 7})
	count(2500*ms, "salaries", nil)

	e.At(2900 * ms)
	e.Tell("A result of 20,000 rows. The analyst pauses for 2 s after the first row. The reader has\nsent two chunks of 64 KiB, and reads no more rows until the client requests a chunk.")
	if err := loans(ctx, e, nc, 3000*ms, func(n int) bool { return n > 1 || e.At(5000*ms) }); err != nil {
		return err
	}
	e.At(6900 * ms)
	e.Tell("The analyst breaks from the loop after the first row. That cancels the query, and the\nreader closes the cursor.")
	if err := loans(ctx, e, nc, 7000*ms, func(int) bool { e.At(7100 * ms); return false }); err != nil {
		return err
	}
	e.At(7900 * ms)
	e.Tell("The analyst is disconnected in the middle of a result. The reader sends a message each\nsecond; the server replies that nobody is subscribed, and the reader closes the cursor.")
	err := loans(ctx, e, nc, 8000*ms, func(n int) bool {
		if n == 1 {
			e.At(8100 * ms) // both chunks are received
			e.Line("analyst").Down()
			return e.At(9500 * ms)
		}
		return true
	})
	e.Line("analyst").Up()
	if ctx.Err() == nil && !errors.Is(err, query.ErrIncomplete) {
		return fmt.Errorf("the result is complete after a disconnect: %w", err)
	}
	e.Printf("analyst: %v", err)
	return nil
}

// loans reads all loans, and calls more after each.
func loans(ctx context.Context, e *demo.Env, nc *nats.Conn, at time.Duration, more func(n int) bool) error {
	if !e.At(at) {
		return nil
	}
	n := 0
	for row, err := range query.Rows[loan](ctx, nc, "library", "loans", nil) {
		if err != nil {
			e.Printf("analyst: the result ended after %d rows", n)
			return err
		}
		if n++; n == 1 {
			e.Printf("analyst: first row: %s", row.Title)
		}
		if !more(n) {
			return nil
		}
	}
	e.Printf("analyst: %d rows, the result is complete", n)
	return nil
}

// naive replies with all rows in one message.
func naive(ctx context.Context, e *demo.Env, db *sql.DB, nc *nats.Conn) {
	e.Tell("Without the pattern: a service replies with all rows in one message.")
	var all []json.RawMessage
	for row, err := range query.SQLite(db).Query(ctx, statements[1], nil) {
		if err != nil {
			return // the play has ended
		}
		all = append(all, row)
	}
	data, err := json.Marshal(all)
	if err == nil {
		err = nc.Publish("library.naive", data)
	}
	e.Printf("naive: a reply of %d bytes: %v", len(data), err)
}
