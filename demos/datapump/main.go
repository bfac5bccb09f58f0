// Command datapump plays a bakery's head office: tills publish their sales, a pump
// writes them to a database that only the office opens, and an accountant queries it.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/demo"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/query"
)

var play = demo.Play{
	Name:    "datapump",
	About:   "a bakery's sales into a database and out of it: invalid rows, a database that fails, a large result, and a naive pump",
	Lasts:   18 * time.Second,
	Streams: []string{"BAKERY", "BAKERY_REJECTED"},
	Scene:   [2]time.Duration{500 * ms, 2700 * ms},
	Cast:    cast,
}

const ms = time.Millisecond

func main() { play.Main() }

func cast(e *demo.Env) error {
	e.Go("office", func(ctx context.Context, nc *nats.Conn) error { return office(ctx, e, nc) })
	e.Go("till", func(ctx context.Context, nc *nats.Conn) error { return till(ctx, e, nc) })
	e.Go("accountant", func(ctx context.Context, nc *nats.Conn) error { return accountant(ctx, e, nc) })
	e.Go("clerk", func(ctx context.Context, nc *nats.Conn) error { return clerk(ctx, e, nc) })
	e.Go("cousin", func(ctx context.Context, nc *nats.Conn) error { return cousin(ctx, e, nc) })
	return nil
}

// sale is a row of the table sales.
type sale struct {
	Shop   string `json:"shop"`
	Bread  string `json:"bread"`
	Loaves int    `json:"loaves"`
}

type soldIn struct {
	Shop string `json:"shop"`
}

var (
	sales = datapump.Table{Name: "sales", Columns: []datapump.Column{
		{Name: "shop"}, {Name: "bread"}, {Name: "loaves", Type: datapump.Integer}}}
	statements = []query.Statement{
		{Name: "sold-in", Args: soldIn{}, SQL: "SELECT sum(loaves) AS loaves FROM sales WHERE shop = $1"},
		{Name: "last-year", SQL: "SELECT shop, bread, loaves FROM last_year ORDER BY n"},
	}
)

const book = `CREATE TABLE sales (shop TEXT, bread TEXT, loaves INTEGER);
CREATE TABLE last_year (n INTEGER, shop TEXT, bread TEXT, loaves INTEGER);
INSERT INTO last_year WITH RECURSIVE days(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM days WHERE n < 20000)
	SELECT n, 'north', 'rye', 1 FROM days`

// counting counts the rows that are read from a source.
type counting struct {
	query.Source
	rows atomic.Int64
}

func (c *counting) Query(ctx context.Context, s query.Statement, args []any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for row, err := range c.Source.Query(ctx, s, args) {
			c.rows.Add(1)
			if !yield(row, err) {
				return
			}
		}
	}
}

// office is the only role that knows the database: a SQLite file.
func office(ctx context.Context, e *demo.Env, nc *nats.Conn) (err error) {
	dir, err := os.MkdirTemp("", "bakery-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "book")+"?_pragma=journal_mode(wal)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, book); err != nil {
		return err
	}
	source := &counting{Source: query.SQLite(db)}
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	e.At(100 * ms)
	pump, err := datapump.NewPump(ctx, js, "bakery", "book", datapump.SQLite(db), []datapump.Table{sales},
		datapump.Config{Metadata: e.Mark(), MaxBackoff: time.Second, Log: e.Log()})
	if err != nil {
		return err
	}
	reader, err := query.NewReader(ctx, nc, "bakery", source, statements, query.Config{Prefetch: 2, Log: e.Log()})
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- pump.Run(ctx) }()
	go func() { ended <- reader.Run(ctx) }()

	rename := func(at time.Duration, change string) {
		if e.At(at) && err == nil {
			_, err = db.ExecContext(ctx, "ALTER TABLE "+change)
		}
	}
	rename(4100*ms, "sales RENAME TO sales_being_moved")
	e.Printf("office: the table sales is missing")
	if e.At(6000 * ms) {
		s := pump.State()
		e.Printf("office: the pump has paused at position %d: %v", s.Position, s.Paused)
	}
	rename(6500*ms, "sales_being_moved RENAME TO sales")
	e.Printf("office: the table sales is back")
	if e.At(8000 * ms) {
		s := pump.State()
		e.Printf("office: %d rows written, %d rejected, position %d", s.Rows, s.Rejected, s.Position)
	}
	if e.At(10500 * ms) {
		before := source.rows.Load()
		e.At(12000 * ms)
		e.Printf("office: 1.5 s later, %d rows of the result have been read, and no more", source.rows.Load()-2)
		if source.rows.Load() != before {
			err = fmt.Errorf("rows were read that the client did not request: %d, %d", before, source.rows.Load())
		}
	}
	return errors.Join(err, <-ended, <-ended)
}

func till(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	sell := func(at time.Duration, row any) {
		if e.At(at) && err == nil {
			err = datapump.Write(ctx, js, "bakery", "sales", e.ID("sale"), row)
		}
	}
	e.At(500 * ms)
	e.Tell("The till publishes its sales. It knows the name of a table and of three columns. It does\nnot know the database.")
	sell(600*ms, sale{"north", "rye", 2})
	sell(700*ms, sale{"south", "rye", 1})
	sell(800*ms, sale{"north", "spelt", 3})

	e.At(1500 * ms)
	e.Tell("Two invalid rows: one has a number in words, one has a column that the table does not\nhave. The pump stores them as rejected, with the reason. The valid row after them is\nwritten.")
	sell(1600*ms, map[string]any{"shop": "north", "bread": "rye", "loaves": "two"})
	sell(1700*ms, map[string]any{"shop": "north", "bread": "rye", "loaves": 1, `card" FROM customers; --`: "4111"})
	sell(1800*ms, sale{"north", "rye", 1})

	e.At(4000 * ms)
	e.Tell("The table is renamed: every transaction fails. The rows are valid, so the pump rejects\nnone. It retries with backoff, and new sales wait in the stream.")
	sell(4500*ms, sale{"north", "rye", 5})
	sell(4800*ms, sale{"north", "spelt", 2})
	return err
}

func clerk(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil || !e.At(2700*ms) {
		return err
	}
	s, err := js.Stream(ctx, "BAKERY_REJECTED")
	for seq := uint64(1); err == nil && seq <= s.CachedInfo().State.LastSeq; seq++ {
		var m *jetstream.RawStreamMsg
		if m, err = s.GetMsg(ctx, seq); err == nil {
			e.Printf("clerk: sale %s was rejected: %s", m.Header.Get(datapump.HeaderSequence), m.Header.Get(datapump.HeaderReason))
		}
	}
	return err
}

func accountant(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	sold := func(at time.Duration) error {
		if !e.At(at) {
			return nil
		}
		for row, err := range query.Rows[sale](ctx, nc, "bakery", "sold-in", soldIn{"north"}) {
			if err != nil {
				return err
			}
			e.Printf("accountant: %d loaves sold in the north", row.Loaves)
		}
		return nil
	}
	if err := errors.Join(sold(1200*ms), sold(2200*ms), sold(8500*ms)); err != nil || !e.At(9500*ms) {
		return err
	}
	e.Tell("The accountant queries the sales of last year, 20,000 rows, and pauses after the first\none. The reader has sent two chunks. It reads no more rows until the client requests them.")
	e.At(10000 * ms)
	n := 0
	for row, err := range query.Rows[sale](ctx, nc, "bakery", "last-year", nil) {
		if err != nil {
			return err
		}
		if n += row.Loaves; n == 1 {
			e.Printf("accountant: first row: %d loaf of %s; pause", row.Loaves, row.Bread)
			e.At(12500 * ms)
		}
	}
	e.Printf("accountant: %d rows, the result is complete", n)
	e.At(13000 * ms)
	for _, err := range query.Rows[sale](ctx, nc, "bakery", "salaries", nil) {
		e.Printf("accountant: query of salaries: %v", err)
	}
	return nil
}

// cousin has a naive pump: it writes a row, and then acknowledges the message.
func cousin(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil || !e.At(14000*ms) {
		return err
	}
	e.Tell("The owner's cousin has a naive pump: it writes a row, then it acknowledges the message.\nIt crashes between the two once. The server redelivers the message after AckWait.")
	cons, err := js.CreateConsumer(ctx, "BAKERY", jetstream.ConsumerConfig{Durable: "cousin", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Second})
	if err != nil {
		return err
	}
	e.At(14500 * ms)
	msgs, err := cons.Messages()
	if err != nil {
		return err
	}
	defer msgs.Stop()
	rows := 0
	for n := range 9 {
		msg, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil // the play has ended
		}
		rows++ // in his database
		if n == 2 {
			e.Printf("cousin: row %d is written; the pump crashed before the ack", rows)
			continue
		}
		if err := msg.Ack(); err != nil {
			return err
		}
	}
	e.At(16500 * ms)
	e.Printf("cousin: my table has %d rows for 8 messages", rows)
	return nil
}
