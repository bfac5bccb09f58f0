package datapump_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/postgres"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

func TestMain(m *testing.M) { postgres.Main(m) }

type sale struct {
	N    int    `json:"n"`
	Till string `json:"till"`
}

func newSQLite(tb testing.TB) (datapump.Store, *sql.DB) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(tb.TempDir(), "db")+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(1000)&_txlock=immediate")
	require.NoError(tb, err)
	return datapump.SQLite(db), withTables(tb, db)
}

// newPostgres returns a store in a schema of its own.
func newPostgres(tb testing.TB) (datapump.Store, *sql.DB) {
	db, err := sql.Open("pgx", postgres.Address(tb))
	require.NoError(tb, err)
	return datapump.Postgres(db), withTables(tb, db)
}

func withTables(tb testing.TB, db *sql.DB) *sql.DB {
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	_, err := db.ExecContext(tb.Context(), storetest.SQL)
	require.NoError(tb, err)
	return db
}

// stores are the stores that each test of a Store uses.
var stores = map[string]func(t *testing.T) (datapump.Store, storetest.Read){
	"SQLite": func(t *testing.T) (datapump.Store, storetest.Read) {
		s, db := newSQLite(t)
		return s, reader(db)
	},
	"PostgreSQL": func(t *testing.T) (datapump.Store, storetest.Read) {
		s, db := newPostgres(t)
		return s, reader(db)
	},
	"a map": func(*testing.T) (datapump.Store, storetest.Read) {
		m := newMapStore()
		return m, m.read
	},
}

// reader reads the tables of storetest from a database.
func reader(db *sql.DB) storetest.Read {
	return func(t *testing.T, table string) (all [][]any) {
		i := slices.IndexFunc(storetest.Tables, func(t datapump.Table) bool { return t.Name == table })
		columns := storetest.Tables[i].Columns
		names := make([]string, len(columns))
		for i, c := range columns {
			names[i] = c.Name
		}
		rows, err := db.QueryContext(t.Context(), "SELECT "+strings.Join(names, ", ")+" FROM "+table)
		require.NoError(t, err)
		for rows.Next() {
			into, values := make([]any, len(columns)), make([]any, len(columns))
			for i, c := range columns {
				into[i] = [...]any{new(*string), new(*int64), new(*float64), new(*bool), new(*string)}[c.Type]
			}
			require.NoError(t, rows.Scan(into...))
			for i, v := range into {
				if p := reflect.ValueOf(v).Elem(); !p.IsNil() {
					values[i] = p.Elem().Interface()
				}
				if text, ok := values[i].(string); ok && columns[i].Type == datapump.Document {
					values[i] = json.RawMessage(text)
				}
			}
			all = append(all, values)
		}
		require.NoError(t, rows.Err())
		return all
	}
}

// salesIn returns the rows of the table sales, by n.
func salesIn(t *testing.T, read storetest.Read) []sale {
	sales := []sale{}
	for _, values := range read(t, "sales") {
		sales = append(sales, sale{int(values[0].(int64)), fmt.Sprint(values[1])})
	}
	slices.SortFunc(sales, func(a, b sale) int { return a.N - b.N })
	return sales
}

// runs calls Run and returns a function that stops it and waits.
func runs(t *testing.T, p *datapump.Pump) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return stop
}

// reaches waits until a pump is at a position.
func reaches(t *testing.T, p *datapump.Pump, seq uint64) {
	t.Helper()
	natstest.Eventually(t, 20*time.Second, func(context.Context) error {
		if s := p.State(); s.Position < seq {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

func publish(t *testing.T, js jetstream.JetStream, table string, rows ...string) uint64 {
	var last uint64
	for _, r := range rows {
		ack, err := js.Publish(t.Context(), "shops.row."+table, []byte(r))
		require.NoError(t, err)
		last = ack.Sequence
	}
	return last
}

// rejected returns the reasons by sequence.
func rejected(t *testing.T, js jetstream.JetStream, pump string) map[string]string {
	s, err := js.Stream(t.Context(), "SHOPS_REJECTED")
	require.NoError(t, err)
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("shops.rejected."+pump+".*"))
	require.NoError(t, err)
	reasons := map[string]string{}
	for subject, n := range info.State.Subjects {
		require.EqualValues(t, 1, n)
		m, err := s.GetLastMsgForSubject(t.Context(), subject)
		require.NoError(t, err)
		reasons[m.Header.Get(datapump.HeaderSequence)] = m.Header.Get(datapump.HeaderReason)
	}
	return reasons
}

func fill(tb testing.TB, js jetstream.JetStream, n int) {
	for i := range n {
		data, err := json.Marshal(sale{i, "till-1"})
		require.NoError(tb, err)
		_, err = js.PublishAsync("shops.row.sales", data)
		require.NoError(tb, err)
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-time.After(30 * time.Second):
		tb.Fatal("the stream is slow")
	}
}
