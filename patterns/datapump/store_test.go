package datapump_test

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/postgres"
	"github.com/natspatterns/catalog/patterns/datapump"
)

func TestMain(m *testing.M) { postgres.Main(m) }

// schema is that of all the tests.
var schema = datapump.Schema{
	Tables: []datapump.Table{
		{Name: "stock", Key: []string{"shop", "sku"}, Columns: []datapump.Column{
			{Name: "shop"}, {Name: "sku"}, {Name: "count", Type: datapump.Integer}, {Name: "price", Type: datapump.Real},
			{Name: "sold", Type: datapump.Boolean}, {Name: "notes", Type: datapump.Document}}},
		{Name: "sales", Columns: []datapump.Column{{Name: "n", Type: datapump.Integer}, {Name: "till"}}},
	},
	Statements: []datapump.Statement{
		{Name: "stock", SQL: "SELECT * FROM stock ORDER BY shop, sku", Table: "stock"},
		{Name: "stock-of", Args: []datapump.Column{{Name: "shop"}}, SQL: "SELECT * FROM stock WHERE shop = $1 ORDER BY sku", Table: "stock"},
		{Name: "sales", SQL: "SELECT n, till FROM sales ORDER BY n", Table: "sales"},
		{Name: "broken", SQL: "SELECT nothing FROM nowhere", Table: "nowhere"},
	},
}

const tables = `CREATE TABLE stock (shop TEXT, sku TEXT, count BIGINT CHECK (count >= 0), price DOUBLE PRECISION, sold BOOLEAN, notes JSON, PRIMARY KEY (shop, sku));
CREATE TABLE sales (n BIGINT, till TEXT CHECK (till <> 'stolen'))`

type (
	stock struct {
		Shop  string           `json:"shop"`
		SKU   string           `json:"sku"`
		Count int64            `json:"count"`
		Price *float64         `json:"price"`
		Sold  *bool            `json:"sold"`
		Notes *json.RawMessage `json:"notes"`
	}
	sale struct {
		N    int    `json:"n"`
		Till string `json:"till"`
	}
)

func newSQLite(tb testing.TB) (datapump.Store, *sql.DB) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "db")+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(1000)&_txlock=immediate")
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	_, err = db.ExecContext(tb.Context(), tables)
	require.NoError(tb, err)
	store, err := datapump.SQLite(db, schema)
	require.NoError(tb, err)
	return store, db
}

func newBucket(tb testing.TB, js jetstream.JetStream) datapump.Store {
	kv, err := js.CreateKeyValue(tb.Context(), jetstream.KeyValueConfig{Bucket: "tables", Storage: jetstream.MemoryStorage})
	require.NoError(tb, err)
	_, err = datapump.Bucket(tb.Context(), js, kv, schema)
	require.ErrorIs(tb, err, datapump.ErrMismatch)
	require.NoError(tb, datapump.ProvisionBucket(tb.Context(), js, kv))
	store, err := datapump.Bucket(tb.Context(), js, kv, schema)
	require.NoError(tb, err)
	return store
}

// newPostgres returns a store in a schema of its own.
func newPostgres(tb testing.TB) (datapump.Store, *pgxpool.Pool) {
	pool, err := pgxpool.New(tb.Context(), postgres.Address(tb))
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	_, err = pool.Exec(tb.Context(), tables)
	require.NoError(tb, err)
	store, err := datapump.Postgres(pool, schema)
	require.NoError(tb, err)
	return store, pool
}
