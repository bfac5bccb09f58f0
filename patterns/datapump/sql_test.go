package datapump_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

// A database reports which row it refuses, and only that row is rejected.
func TestRefused(t *testing.T) {
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *suite) {
				js := s.js
				s.store, s.read = stores[name](t)
				p := s.pump(t, datapump.Config{})
				var rows []string
				for n := range 100 {
					till := "till-1"
					if n%40 == 7 {
						till = "stolen"
					}
					rows = append(rows, fmt.Sprintf(`{"n":%d,"till":%q}`, n, till))
				}
				publish(t, js, "sales", rows...)
				last := publish(t, js, "stock", `{"shop":"a","sku":"1","count":5}`, `{"shop":"a","sku":"1","count":-1}`)
				runs(t, p)
				reaches(t, p, last)
				require.Len(t, s.sales(t), 97)
				require.Equal(t, [][]any{{"a", "1", int64(5), nil, nil, nil}}, s.read(t, "stock")) // the valid row before the invalid one of its key
				reasons := rejected(t, js, "main")
				require.Len(t, reasons, 4)
				for _, seq := range []string{"8", "48", "88", "102"} {
					require.Contains(t, strings.ToLower(reasons[seq]), "check constraint")
				}
			})
		})
	}
}

// PostgreSQL also refuses a row for a key that is too large for an index, and for an
// error of a trigger.
func TestRefusedByPostgres(t *testing.T) {
	bubble(t, func(t *testing.T, s *suite) {
		js := s.js
		store, db := newPostgres(t)
		s.store = store
		_, err := db.ExecContext(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.count = 13 THEN RAISE EXCEPTION 'never thirteen'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON stock FOR EACH ROW EXECUTE FUNCTION refuse()`)
		require.NoError(t, err)
		p := s.pump(t, datapump.Config{MaxBackoff: 20 * time.Millisecond})
		key := strings.Builder{} // that does not compress
		for n := range 1000 {
			fmt.Fprintf(&key, "%x", sha256.Sum256([]byte{byte(n), byte(n >> 8)}))
		}
		last := publish(t, js, "stock", `{"shop":"a","sku":"1","count":13}`, fmt.Sprintf(`{"shop":"a","sku":%q}`, key.String()), `{"shop":"a","sku":"3","count":3}`)
		runs(t, p)
		reaches(t, p, last)
		reasons := rejected(t, js, "main")
		require.Len(t, reasons, 2)
		require.Contains(t, reasons["1"], "never thirteen")
		require.Contains(t, reasons["2"], "index row")
	})
}

// If the table of positions cannot be created, the error also says why it was tried.
func TestPositionFails(t *testing.T) {
	store, db := newSQLite(t)
	db.SetMaxOpenConns(1)
	_, err := db.ExecContext(t.Context(), "PRAGMA query_only = 1")
	require.NoError(t, err)
	_, err = store.Position(t.Context(), "main")
	require.ErrorContains(t, err, "no such table: datapump_positions")
	require.ErrorContains(t, err, "readonly")
}

// If a table is not as expected, the pump waits and rejects nothing.
func TestDrift(t *testing.T) {
	for name, open := range map[string]func(testing.TB) (datapump.Store, *sql.DB){"SQLite": newSQLite, "PostgreSQL": newPostgres} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *suite) {
				store, db := open(t)
				exec := func(sql string) { _, err := db.Exec(sql); require.NoError(t, err) }
				js := s.js
				s.store = store
				p := s.pump(t, datapump.Config{MaxBackoff: 20 * time.Millisecond})
				exec("ALTER TABLE sales RENAME COLUMN till TO cash_desk")
				runs(t, p)
				last := publish(t, js, "sales", `{"n":1,"till":"a"}`)
				natstest.Eventually(t, 5*time.Second, func(context.Context) error {
					if p.State().Attempts < 3 {
						return fmt.Errorf("%+v", p.State())
					}
					return nil
				})
				exec("ALTER TABLE sales RENAME COLUMN cash_desk TO till")
				reaches(t, p, last)
				require.Equal(t, datapump.State{Position: last, Rows: 1}, p.State())
			})
		})
	}
}
