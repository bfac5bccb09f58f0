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

// world is where effects take place: a table of letters that were sent, one row
// each time.
type world struct {
	*sql.DB
	t testing.TB
}

func newWorld(tb testing.TB, conns int) world {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)&_pragma=busy_timeout(5000)")
	require.NoError(tb, err)
	db.SetMaxOpenConns(conns)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	_, err = db.Exec("CREATE TABLE letters (id TEXT)")
	require.NoError(tb, err)
	return world{db, tb}
}

// execer is a database, or a transaction in it.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func send(to execer, id string) error {
	_, err := to.ExecContext(context.Background(), "INSERT INTO letters VALUES ($1)", id)
	return err
}

// sent counts the letters by id.
func (w world) sent() map[string]int {
	rows, err := w.Query("SELECT id, COUNT(*) FROM letters GROUP BY id")
	require.NoError(w.t, err)
	defer func() { _ = rows.Close() }()
	times := map[string]int{}
	for rows.Next() {
		var id string
		var n int
		require.NoError(w.t, rows.Scan(&id, &n))
		times[id] = n
	}
	require.NoError(w.t, rows.Err())
	return times
}

// receive is what a worker does with the message id: effect is to happen once.
type receive func(ctx context.Context, id string, effect func(execer) error) (done bool, err error)

// form makes the receiver called name. What it holds must not outlive the worker.
type form struct {
	name string
	open func(ctx context.Context, js jetstream.JetStream, w world, name string, cfg idempotent.Config) (receive, error)
}

var errFailed = errors.New("the effect failed")

var inKV = form{"record in KV", func(ctx context.Context, js jetstream.JetStream, w world, name string, cfg idempotent.Config) (receive, error) {
	if cfg.Keep == soon.Keep {
		cfg.Keep = ages
	}
	r, err := idempotent.NewReceiver(ctx, js, name, cfg)
	return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
		return r.Once(ctx, id, func(context.Context) error { return effect(w) })
	}, err
}}

var inTx = form{"record in the transaction", func(ctx context.Context, _ jetstream.JetStream, w world, name string, cfg idempotent.Config) (receive, error) {
	r, err := idempotent.NewTxReceiver(ctx, w.DB, name, cfg)
	return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
		return r.Once(ctx, id, func(_ context.Context, tx *sql.Tx) error { return effect(tx) })
	}, err
}}

// onPublish has the stream OUT for a world: what is stored there was done.
var onPublish = form{"dedupe on publish", func(ctx context.Context, js jetstream.JetStream, w world, name string, cfg idempotent.Config) (receive, error) {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "OUT", Subjects: []string{"letters.>"}, Duplicates: cfg.Keep})
	if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil, err
	}
	p, err := idempotent.NewPublisher(ctx, js, "OUT")
	return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
		done, err := p.Publish(ctx, id, &nats.Msg{Subject: "letters." + name})
		if done {
			err = effect(w) // counts it
		}
		return done, err
	}, err
}}

var forms = []form{onPublish, inKV, inTx}

// The wrong ways, each of which looks right.
var (
	naive = form{"no record", func(_ context.Context, _ jetstream.JetStream, w world, _ string, _ idempotent.Config) (receive, error) {
		return func(_ context.Context, _ string, effect func(execer) error) (bool, error) { return true, effect(w) }, nil
	}}
	claimFirst = form{"claim first, without a lease", func(ctx context.Context, js jetstream.JetStream, w world, _ string, cfg idempotent.Config) (receive, error) {
		kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "claims", Storage: cfg.Storage})
		return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
			if _, err := kv.Create(ctx, id, nil); errors.Is(err, jetstream.ErrKeyExists) {
				return false, nil
			} else if err != nil {
				return false, err
			}
			return true, effect(w)
		}, err
	}}
	recordAfter = form{"look, do, record", func(ctx context.Context, js jetstream.JetStream, w world, _ string, cfg idempotent.Config) (receive, error) {
		kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "records", Storage: cfg.Storage})
		return func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
			if _, err := kv.Get(ctx, id); !errors.Is(err, jetstream.ErrKeyNotFound) {
				return false, err
			}
			if err := effect(w); err != nil {
				return false, err
			}
			_, err := kv.Put(ctx, id, nil)
			return true, err
		}, err
	}}
	ackFirst = form{"ack first", naive.open} // see work
)

// ages is how long a bucket keeps records in a bubble: where messages have a TTL of
// their own, the server judges that of the bucket by the real clock.
const ages = 100 * 365 * 24 * time.Hour

// soon is a Config in which little time passes.
var soon = idempotent.Config{Keep: time.Hour, Lease: 5 * time.Second}
