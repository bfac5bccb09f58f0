package query_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/postgres"
	"github.com/natspatterns/catalog/patterns/query"
)

func TestMain(m *testing.M) { postgres.Main(m) }

const tables = `CREATE TABLE stock (shop TEXT, sku TEXT, count BIGINT, price DOUBLE PRECISION, sold BOOLEAN, notes JSON);
INSERT INTO stock VALUES ('north', 'x-1', 9007199254740993, 1.5, true, '{"n":9007199254740993}'), ('south', 'x-1', 7, NULL, false, NULL);
CREATE TABLE sales (n BIGINT, till TEXT)`

type shopArgs struct {
	Shop string `json:"shop"`
}

type noArgs struct{}

var statements = []query.Statement{
	{Name: "stock-of", Args: shopArgs{}, SQL: "SELECT * FROM stock WHERE shop = $1 ORDER BY sku"},
	{Name: "sales", SQL: "SELECT n, till FROM sales ORDER BY n"},
	{Name: "cheaper", Args: struct{ Than *float64 }{}, SQL: "SELECT shop FROM stock WHERE price < $1"},
	{Name: "broken", Args: noArgs{}, SQL: "SELECT nothing FROM nowhere"},
}

type sale struct {
	N    int    `json:"n"`
	Till string `json:"till"`
}

func newSQLite(tb testing.TB) (query.Source, *sql.DB) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "db")+"?_pragma=journal_mode(wal)")
	require.NoError(tb, err)
	return query.SQLite(db), withTables(tb, db)
}

// newPostgres returns a source in a schema of its own.
func newPostgres(tb testing.TB) (query.Source, *sql.DB) {
	db, err := sql.Open("pgx", postgres.Address(tb))
	require.NoError(tb, err)
	return query.Postgres(db), withTables(tb, db)
}

func withTables(tb testing.TB, db *sql.DB) *sql.DB {
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	_, err := db.ExecContext(tb.Context(), tables)
	require.NoError(tb, err)
	return db
}

type suite struct {
	nc     *nats.Conn
	source query.Source
	db     *sql.DB
}

func bubble(t *testing.T, test func(t *testing.T, s *suite)) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) { test(t, &suite{nc: s.Connect("test")}) })
}

// reader runs a reader until the test ends.
func (s *suite) reader(t *testing.T) {
	r, err := query.NewReader(t.Context(), s.nc, "shops", s.source, statements, query.Config{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
}

// fill stores n sales with tills of a length.
func (s *suite) fill(tb testing.TB, n, length int) {
	tx, err := s.db.BeginTx(tb.Context(), nil)
	require.NoError(tb, err)
	till := strings.Repeat("t", length)
	for from := 0; from < n; from += 500 {
		var rows []string
		for i := from; i < min(n, from+500); i++ {
			rows = append(rows, fmt.Sprintf("(%d, '%s')", i, till))
		}
		_, err := tx.ExecContext(tb.Context(), "INSERT INTO sales VALUES "+strings.Join(rows, ", "))
		require.NoError(tb, err)
	}
	require.NoError(tb, tx.Commit())
}

func (s *suite) sales(t *testing.T) []sale {
	rows, err := all[sale](t.Context(), s.nc, "sales", nil)
	require.NoError(t, err)
	return rows
}

func all[T any](ctx context.Context, nc *nats.Conn, statement string, args any) (rows []T, err error) {
	for row, err := range query.Rows[T](ctx, nc, "shops", statement, args) {
		if err != nil {
			return rows, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}
