// Command datapump plays a bakery's head office: tills send what they sell, a book
// that only the office can open takes it in, and an accountant asks for all of it.
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
)

var play = demo.Play{
	Name:    "datapump",
	About:   "a bakery's sales into a database and out of it: a bad row, a database that is away, a long result, and a naive pump",
	Lasts:   18 * time.Second,
	Streams: []string{"BAKERY", "BAKERY_DIVERTED"},
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

// sale is a row of the book.
type sale struct {
	Shop   string `json:"shop"`
	Bread  string `json:"bread"`
	Loaves int    `json:"loaves"`
}

var schema = datapump.Schema{
	Tables: []datapump.Table{{Name: "sales", Columns: []datapump.Column{
		{Name: "shop"}, {Name: "bread"}, {Name: "loaves", Type: datapump.Integer}}}},
	Statements: []datapump.Statement{
		{Name: "sold-in", Args: []datapump.Column{{Name: "shop"}}, SQL: "SELECT sum(loaves) AS loaves FROM sales WHERE shop = ?"},
		{Name: "last-year", SQL: "SELECT shop, bread, loaves FROM last_year ORDER BY n"},
	},
}

const book = `CREATE TABLE sales (shop TEXT, bread TEXT, loaves INTEGER);
CREATE TABLE last_year (n INTEGER, shop TEXT, bread TEXT, loaves INTEGER);
INSERT INTO last_year WITH RECURSIVE days(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM days WHERE n < 20000)
	SELECT n, 'north', 'rye', 1 FROM days`

// counting tells how many rows were taken out of the book.
type counting struct {
	datapump.Store
	rows atomic.Int64
}

func (c *counting) Query(ctx context.Context, s datapump.Statement, args []any) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for row, err := range c.Store.Query(ctx, s, args) {
			c.rows.Add(1)
			if !yield(row, err) {
				return
			}
		}
	}
}

// office alone knows that the book is a SQLite file.
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
	sqlite, err := datapump.SQLite(db, schema)
	if err != nil {
		return err
	}
	store, cfg := &counting{Store: sqlite}, datapump.Config{Metadata: e.Mark(), Pause: time.Second, Window: 2, Log: e.Log()}
	js, err := e.JetStream(nc)
	if err != nil {
		return err
	}
	e.At(100 * ms)
	pump, err := datapump.NewPump(ctx, js, "bakery", "book", store, cfg)
	if err != nil {
		return err
	}
	reader, err := datapump.NewReader(ctx, nc, "bakery", store, cfg)
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
	e.Printf("office: the book is away")
	if e.At(6000 * ms) {
		s := pump.State()
		e.Printf("office: the pump has paused at sale %d: %v", s.Applied, s.Paused)
	}
	rename(6500*ms, "sales_being_moved RENAME TO sales")
	e.Printf("office: the book is back")
	if e.At(8000 * ms) {
		s := pump.State()
		e.Printf("office: %d sales in the book, %d at the clerk's, the last was %d", s.Rows, s.Diverted, s.Applied)
	}
	if e.At(10500 * ms) {
		before := store.rows.Load()
		e.At(12000 * ms)
		e.Printf("office: a second and a half later no more has left the book than these %d rows", store.rows.Load()-2)
		if store.rows.Load() != before {
			err = fmt.Errorf("the book was read on while nobody took anything: %d, %d", before, store.rows.Load())
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
	e.Tell("The till sends what it sells. It knows the word \"sales\" and three columns; that there\nis a database behind it, and which, it need not know.")
	sell(600*ms, sale{"north", "rye", 2})
	sell(700*ms, sale{"south", "rye", 1})
	sell(800*ms, sale{"north", "spelt", 3})

	e.At(1500 * ms)
	e.Tell("Now a till with a mind of its own: it writes numbers in words, and sends a column that\nnobody asked for. That must not stop the good row that follows, and must not vanish.")
	sell(1600*ms, map[string]any{"shop": "north", "bread": "rye", "loaves": "two"})
	sell(1700*ms, map[string]any{"shop": "north", "bread": "rye", "loaves": 1, `card" FROM customers; --`: "4111"})
	sell(1800*ms, sale{"north", "rye", 1})

	e.At(4000 * ms)
	e.Tell("The book is taken away, to be rebound. The till does not notice: what it sells waits in\nthe stream.")
	sell(4500*ms, sale{"north", "rye", 5})
	sell(4800*ms, sale{"north", "spelt", 2})
	return err
}

func clerk(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil || !e.At(2700*ms) {
		return err
	}
	s, err := js.Stream(ctx, "BAKERY_DIVERTED")
	for seq := uint64(1); err == nil && seq <= s.CachedInfo().State.LastSeq; seq++ {
		var m *jetstream.RawStreamMsg
		if m, err = s.GetMsg(ctx, seq); err == nil {
			e.Printf("clerk: sale %s is on my desk: %s", m.Header.Get(datapump.SequenceHeader), m.Header.Get(datapump.ReasonHeader))
		}
	}
	return err
}

func accountant(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	sold := func(at time.Duration) error {
		if !e.At(at) {
			return nil
		}
		for row, err := range datapump.Query[sale](ctx, nc, "bakery", "sold-in", map[string]string{"shop": "north"}) {
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
	e.Tell("The accountant wants all of last year, twenty thousand rows, and reads the first of them\nover a coffee. Nothing piles up meanwhile, not here, not on the wire, not in the office.")
	e.At(10000 * ms)
	n := 0
	for row, err := range datapump.Query[sale](ctx, nc, "bakery", "last-year", nil) {
		if err != nil {
			return err
		}
		if n += row.Loaves; n == 1 {
			e.Printf("accountant: first row: %d loaf of %s. Coffee", row.Loaves, row.Bread)
			e.At(12500 * ms)
		}
	}
	e.Printf("accountant: %d rows, and an end mark that says so", n)
	e.At(13000 * ms)
	for _, err := range datapump.Query[sale](ctx, nc, "bakery", "salaries", nil) {
		e.Printf("accountant: and the salaries? %v", err)
	}
	return nil
}

// cousin has a pump of his own: he writes, and then acknowledges.
func cousin(ctx context.Context, e *demo.Env, nc *nats.Conn) error {
	js, err := e.JetStream(nc)
	if err != nil || !e.At(14000*ms) {
		return err
	}
	e.Tell("The owner's cousin has a pump too. It writes a row and then acknowledges it, and the\nlights go out between the two: it does not know, when they are on, what it has done.")
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
		rows++ // in his book
		if n == 2 {
			e.Printf("cousin: row %d is written, and it is dark", rows)
			continue
		}
		if err := msg.Ack(); err != nil {
			return err
		}
	}
	e.At(16500 * ms)
	e.Printf("cousin: my book has %d rows, of 8 that were sent", rows)
	return nil
}
