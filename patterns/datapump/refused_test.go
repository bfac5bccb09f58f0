package datapump_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

// The databases say which row they refuse, and only that one is diverted.
func TestRefused(t *testing.T) {
	for name, store := range map[string]func(t *testing.T) datapump.Store{
		"SQLite":     func(t *testing.T) datapump.Store { s, _ := newSQLite(t); return s },
		"PostgreSQL": func(t *testing.T) datapump.Store { s, _ := newPostgres(t); return s },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *suite) {
				js := s.js
				s.store = store(t)
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
				s.reader(t)
				reaches(t, p, last)
				require.Len(t, s.sales(t), 97)
				left, err := all[stock](t.Context(), s.nc, "stock", nil)
				require.NoError(t, err)
				require.Equal(t, []stock{{Shop: "a", SKU: "1", Count: 5}}, left) // the good one before the bad one of its key
				reasons := diverted(t, js, "main")
				require.Len(t, reasons, 4)
				for _, seq := range []string{"8", "48", "88", "102"} {
					require.Contains(t, strings.ToLower(reasons[seq]), "check constraint")
				}
			})
		})
	}
}

// PostgreSQL has more ways to refuse a row than constraints: a key too large for an
// index, and whatever a trigger says.
func TestRefusedByPostgres(t *testing.T) {
	bubble(t, func(t *testing.T, s *suite) {
		js := s.js
		store, pool := newPostgres(t)
		s.store = store
		_, err := pool.Exec(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.count = 13 THEN RAISE EXCEPTION 'never thirteen'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON stock FOR EACH ROW EXECUTE FUNCTION refuse()`)
		require.NoError(t, err)
		p := s.pump(t, datapump.Config{Pause: 20 * time.Millisecond})
		key := strings.Builder{} // that does not compress
		for n := range 1000 {
			fmt.Fprintf(&key, "%x", sha256.Sum256([]byte{byte(n), byte(n >> 8)}))
		}
		last := publish(t, js, "stock", `{"shop":"a","sku":"1","count":13}`, fmt.Sprintf(`{"shop":"a","sku":%q}`, key.String()), `{"shop":"a","sku":"3","count":3}`)
		runs(t, p)
		s.reader(t)
		reaches(t, p, last)
		reasons := diverted(t, js, "main")
		require.Len(t, reasons, 2)
		require.Contains(t, reasons["1"], "never thirteen")
		require.Contains(t, reasons["2"], "index row")
	})
}

// What PostgreSQL has a type for, and JSON has not, is text as PostgreSQL writes it.
func TestPostgresTypes(t *testing.T) {
	bubble(t, func(t *testing.T, s *suite) {
		_, pool := newPostgres(t)
		store, err := datapump.Postgres(pool, datapump.Schema{Statements: []datapump.Statement{{Name: "types", SQL: `
		SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id, 12345678901234567890.10::numeric AS sum, '{1,2}'::int[] AS list, NULL AS nothing -- all`}}})
		require.NoError(t, err)
		s.store = store
		s.reader(t)
		rows, err := all[json.RawMessage](t.Context(), s.nc, "types", nil)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, `{"id":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","sum":12345678901234567890.10,"list":[1,2],"nothing":null}`, string(rows[0]))
	})
}

// A table that is missing is no fault of the rows: the pump waits for it.
func TestDrift(t *testing.T) {
	for name, store := range map[string]func(t *testing.T) (datapump.Store, func(sql string)){
		"SQLite": func(t *testing.T) (datapump.Store, func(string)) {
			s, db := newSQLite(t)
			return s, func(sql string) { _, err := db.Exec(sql); require.NoError(t, err) }
		},
		"PostgreSQL": func(t *testing.T) (datapump.Store, func(string)) {
			s, pool := newPostgres(t)
			return s, func(sql string) { _, err := pool.Exec(context.Background(), sql); require.NoError(t, err) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *suite) {
				var exec func(string)
				js := s.js
				s.store, exec = store(t)
				p := s.pump(t, datapump.Config{Pause: 20 * time.Millisecond})
				exec("ALTER TABLE sales RENAME COLUMN till TO cash_desk")
				runs(t, p)
				last := publish(t, js, "sales", `{"n":1,"till":"a"}`)
				natstest.Eventually(t, 5*time.Second, func(context.Context) error {
					if p.State().Tries < 3 {
						return fmt.Errorf("%+v", p.State())
					}
					return nil
				})
				exec("ALTER TABLE sales RENAME COLUMN cash_desk TO till")
				reaches(t, p, last)
				require.Equal(t, datapump.State{Applied: last, Rows: 1}, p.State())
			})
		})
	}
}

// cutting is a store that cuts a link now and then, while rows are on it.
type cutting struct {
	datapump.Store
	cut func()
	n   int
}

func (c *cutting) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	if c.n++; c.n%5 == 1 && c.n < 50 {
		c.cut()
	}
	return c.Store.Apply(ctx, pump, from, to, rows)
}

// What a cut has swallowed is read again.
func TestSwallowed(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store, _ := newSQLite(t)
		js := s.JetStream("test")
		require.NoError(t, datapump.Provision(t.Context(), js, "shops", datapump.Config{}))
		fill(t, js, 3000)
		p, err := datapump.NewPump(t.Context(), s.JetStream("pump"), "shops", "main",
			&cutting{Store: store, cut: s.Link("pump").Cut}, datapump.Config{Batch: 100})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		require.Equal(t, datapump.State{Applied: 3000, Rows: 3000}, p.State())
		cancel()
		require.NoError(t, <-done)
	})
}
