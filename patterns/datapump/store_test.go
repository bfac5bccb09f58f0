package datapump_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

func TestMain(m *testing.M) {
	code := natstest.Run(stopping{m})
	os.Exit(code)
}

// stopping stops the PostgreSQL of the tests before anyone looks for what is left.
type stopping struct{ *testing.M }

func (m stopping) Run() int {
	defer cluster.stop()
	return m.M.Run()
}

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
	address, err := cluster.start()
	if err != nil && os.Getenv("CI") == "" {
		tb.Skipf("no PostgreSQL to test with: %v; install Debian's postgresql, or set DATAPUMP_POSTGRES", err)
	}
	require.NoError(tb, err)
	config, err := pgxpool.ParseConfig(address)
	require.NoError(tb, err)
	space := fmt.Sprintf("t%d_%d", os.Getpid(), time.Now().UnixNano())
	config.ConnConfig.RuntimeParams["search_path"] = space
	pool, err := pgxpool.NewWithConfig(tb.Context(), config)
	require.NoError(tb, err)
	tb.Cleanup(pool.Close)
	tb.Cleanup(func() {
		_, err := pool.Exec(context.Background(), "DROP SCHEMA "+space+" CASCADE")
		require.NoError(tb, err)
	})
	_, err = pool.Exec(tb.Context(), "CREATE SCHEMA "+space)
	require.NoError(tb, err)
	_, err = pool.Exec(tb.Context(), tables)
	require.NoError(tb, err)
	store, err := datapump.Postgres(pool, schema)
	require.NoError(tb, err)
	return store, pool
}

// cluster is a private PostgreSQL on a socket, started when first needed.
var cluster = &private{}

type private struct {
	dir, address string
	postgres     *exec.Cmd
	err          error
	tried        bool
}

func (p *private) start() (string, error) {
	if p.address = os.Getenv("DATAPUMP_POSTGRES"); p.address == "" && !p.tried {
		p.err = p.boot()
		p.tried = true
	}
	if p.dir != "" {
		p.address = "host=" + p.dir + " user=postgres dbname=postgres"
	}
	return p.address, p.err
}

func (p *private) boot() error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return fmt.Errorf("there is no initdb under /usr/lib/postgresql")
	}
	bin := filepath.Dir(found[len(found)-1])
	if p.dir, err = os.MkdirTemp("", "datapump-"); err != nil {
		return err
	}
	run := []string{"--pdeathsig", "INT"} // it does not outlive a test that times out
	if os.Getuid() == 0 {                 // which it refuses to run as
		if err := exec.Command("chown", "postgres", p.dir).Run(); err != nil {
			return err
		}
		run = append(run, "--reuid=postgres", "--regid=postgres", "--clear-groups")
	}
	as := func(arg ...string) *exec.Cmd { return exec.Command("setpriv", append(run, arg...)...) }
	data := filepath.Join(p.dir, "data")
	if out, err := as(bin+"/initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	p.postgres = as(bin+"/postgres", "-D", data, "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections="+strconv.Itoa(50))
	if err := p.postgres.Start(); err != nil {
		return err
	}
	for range 500 {
		if as(bin+"/pg_isready", "-q", "-h", p.dir).Run() == nil {
			return nil
		}
	}
	return fmt.Errorf("it did not become ready")
}

func (p *private) stop() {
	if p.postgres != nil {
		_ = p.postgres.Process.Signal(os.Interrupt) // fast shutdown; if it is gone, so much the better
		_ = p.postgres.Wait()
	}
	if p.dir != "" {
		_ = os.RemoveAll(p.dir)
	}
}
