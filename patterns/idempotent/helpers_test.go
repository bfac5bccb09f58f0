package idempotent_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/postgres"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

func TestMain(m *testing.M) { postgres.Main(m) }

// testDB has the table effects: one row for each time that an effect took place.
type testDB struct {
	*sql.DB
	t testing.TB
}

func newDB(tb testing.TB, conns int) testDB {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)&_pragma=busy_timeout(5000)")
	require.NoError(tb, err)
	db.SetMaxOpenConns(conns)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	_, err = db.Exec("CREATE TABLE effects (id TEXT)")
	require.NoError(tb, err)
	return testDB{db, tb}
}

// execer is a database, or a transaction in it.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func execute(to execer, id string) error {
	_, err := to.ExecContext(context.Background(), "INSERT INTO effects VALUES ($1)", id)
	return err
}

// executions returns how often the effect of each ID took place.
func (db testDB) executions() map[string]int {
	rows, err := db.Query("SELECT id, COUNT(*) FROM effects GROUP BY id")
	require.NoError(db.t, err)
	defer func() { _ = rows.Close() }()
	times := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		require.NoError(db.t, rows.Scan(&id, &n))
		times[id] = n
	}
	require.NoError(db.t, rows.Err())
	return times
}

// onceFunc calls effect once for the message id.
type onceFunc func(ctx context.Context, id string, effect func(execer) error) (done bool, err error)

// variant opens the receiver name, one for each worker.
type variant struct {
	name string
	open func(ctx context.Context, js jetstream.JetStream, db testDB, name string, cfg idempotent.Config) (onceFunc, error)
}

var errFailed = errors.New("the effect failed")

var inKV = variant{"record in KV", openInKV}

func openInKV(ctx context.Context, js jetstream.JetStream, db testDB, name string, cfg idempotent.Config) (onceFunc, error) {
	if cfg.MaxAge == config.MaxAge {
		cfg.MaxAge = century
	}
	r, err := idempotent.NewReceiver(ctx, js, name, cfg)
	return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
		return r.Once(ctx, id, func(context.Context) error { return effect(db) })
	}, err
}

var inTx = variant{"record in the transaction", openInTx}

func openInTx(ctx context.Context, _ jetstream.JetStream, db testDB, name string, cfg idempotent.Config) (onceFunc, error) {
	r, err := idempotent.NewTxReceiver(ctx, db.DB, name, cfg)
	return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
		return r.Once(ctx, id, func(_ context.Context, tx *sql.Tx) error { return effect(tx) })
	}, err
}

// onPublish stores a message in the stream OUT: that is its effect, which the row counts.
var onPublish = variant{"deduplicate on publish", openOnPublish}

func openOnPublish(ctx context.Context, js jetstream.JetStream, db testDB, name string, cfg idempotent.Config) (onceFunc, error) {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "OUT", Subjects: []string{"orders.>"}, Duplicates: cfg.MaxAge})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil, err
	}
	p, err := idempotent.NewPublisher(ctx, js, "OUT")
	return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
		done, err := p.Publish(ctx, id, &nats.Msg{Subject: "orders." + name})
		if done {
			err = effect(db)
		}
		return done, err
	}, err
}

var variants = []variant{onPublish, inKV, inTx}

// The mutants: each looks right, and is wrong.
var (
	noRecord = variant{"no record", func(_ context.Context, _ jetstream.JetStream, db testDB, _ string, _ idempotent.Config) (onceFunc, error) {
		return func(_ context.Context, _ string, effect func(execer) error) (bool, error) { return true, effect(db) }, nil
	}}
	claimFirst = variant{"claim first, without a lease", func(ctx context.Context, js jetstream.JetStream, db testDB, _ string, cfg idempotent.Config) (onceFunc, error) {
		kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "claims", Storage: cfg.Storage})
		return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
			if _, err := kv.Create(ctx, id, nil); errors.Is(err, jetstream.ErrKeyExists) {
				return false, nil
			} else if err != nil {
				return false, err
			}
			return true, effect(db)
		}, err
	}}
	recordAfter = variant{"read, effect, record", func(ctx context.Context, js jetstream.JetStream, db testDB, _ string, cfg idempotent.Config) (onceFunc, error) {
		kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "records", Storage: cfg.Storage})
		return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
			if _, err := kv.Get(ctx, id); !errors.Is(err, jetstream.ErrKeyNotFound) {
				return false, err
			}
			if err := effect(db); err != nil {
				return false, err
			}
			_, err := kv.Put(ctx, id, nil)
			return true, err
		}, err
	}}
	ackFirst = variant{"ack first", noRecord.open} // see runWorker
)

// century is the MaxAge of a bucket in a bubble: if messages have a TTL of their own, the
// server compares that of the bucket with the real clock.
const century = 100 * 365 * 24 * time.Hour

// config has short times.
var config = idempotent.Config{MaxAge: time.Hour, Lease: 5 * time.Second}

const retryDelay = 100 * time.Millisecond
