package outbox_test

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/postgres"
	"github.com/natspatterns/catalog/patterns/outbox"
)

func TestMain(m *testing.M) { postgres.Main(m) }

// databases opens each kind of database, with the tables of the outbox and one of
// orders.
var databases = map[string]func(testing.TB) *sql.DB{"SQLite": sqlite, "PostgreSQL": pg}

// reopens opens a database again, for a process that is killed.
var reopens = map[*sql.DB]func() *sql.DB{}

const orders = `CREATE TABLE orders (id TEXT PRIMARY KEY)`

func sqlite(tb testing.TB) *sql.DB {
	return open(tb, "sqlite", "file:"+filepath.Join(tb.TempDir(), "shop.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)&_pragma=busy_timeout(5000)&_txlock=immediate", outbox.SQLite)
}

func pg(tb testing.TB) *sql.DB { return open(tb, "pgx", postgres.Address(tb), outbox.Postgres) }

func open(tb testing.TB, driver, address, tables string) *sql.DB {
	db, err := sql.Open(driver, address)
	require.NoError(tb, err)
	reopens[db] = func() *sql.DB { return must(sql.Open(driver, address)) }
	tb.Cleanup(func() { delete(reopens, db); require.NoError(tb, db.Close()) })
	for range 2 { // as a migration may
		_, err = db.Exec(tables)
		require.NoError(tb, err)
	}
	_, err = db.Exec(orders)
	require.NoError(tb, err)
	return db
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// events creates the stream EVENTS.
func events(tb testing.TB, js jetstream.JetStream) {
	tb.Helper()
	_, err := js.CreateStream(tb.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Storage: jetstream.MemoryStorage})
	require.NoError(tb, err)
}

// place stores an order and its event in one transaction.
func place(ctx context.Context, db *sql.DB, key, id string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, `INSERT INTO orders (id) VALUES ($1)`, id); err != nil {
		return err
	}
	if err := outbox.Put(ctx, tx, key, &nats.Msg{Subject: "events." + key + ".placed", Header: nats.Header{"Kind": {"order"}}, Data: []byte(id)}); err != nil {
		return err
	}
	return tx.Commit()
}

// stored returns the payloads in the stream, in order.
func stored(tb testing.TB, js jetstream.JetStream) (all []string) {
	tb.Helper()
	cons, err := js.OrderedConsumer(tb.Context(), "EVENTS", jetstream.OrderedConsumerConfig{})
	require.NoError(tb, err)
	batch, err := cons.FetchNoWait(10_000)
	require.NoError(tb, err)
	for m := range batch.Messages() {
		all = append(all, string(m.Data()))
	}
	return all
}

// left counts the messages in the outbox.
func left(tb testing.TB, db *sql.DB) (n int) {
	tb.Helper()
	require.NoError(tb, db.QueryRow(`SELECT count(*) FROM outbox`).Scan(&n))
	return n
}

// relay runs a relay called shop until stop is called, which returns the result of Run.
func relay(tb testing.TB, db *sql.DB, nc *nats.Conn, cfg outbox.Config) (stop func() error) {
	tb.Helper()
	return start(tb, db, nc, must(jetstream.New(nc, jetstream.WithPublishAsyncTimeout(5*time.Second))), cfg)
}

func start(tb testing.TB, db *sql.DB, nc *nats.Conn, js outbox.Publisher, cfg outbox.Config) (stop func() error) {
	tb.Helper()
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	r, err := outbox.NewRelay(tb.Context(), db, nc, js, "shop", cfg)
	require.NoError(tb, err)
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() error { cancel(); return <-done }
}

// each runs a test in a bubble with each database.
func each(t *testing.T, test func(t *testing.T, s *natstest.Server, db *sql.DB)) {
	for name, open := range databases {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) { test(t, s, open(t)) })
		})
	}
}

func ids(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint("order-", i))
	}
	return all
}
