package query_test

import (
	"database/sql"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/query"
)

// A client receives the same from each source.
func TestConformance(t *testing.T) {
	sources := map[string]func(testing.TB) (query.Source, *sql.DB){"SQLite": newSQLite, "PostgreSQL": newPostgres}
	cases := map[string]func(t *testing.T, s *suite){
		"a row has the values and types of its columns":   types,
		"an argument can be null":                         nullArgument,
		"a large result is complete":                      large,
		"a client that breaks from the loop is forgotten": breaksOff,
		"a result is of one moment":                       snapshot,
		"refusals are errors":                             refusals,
		"arguments do not become SQL":                     injects,
	}
	for name, open := range sources {
		t.Run(name, func(t *testing.T) {
			for sentence, test := range cases {
				t.Run(sentence, func(t *testing.T) {
					bubble(t, func(t *testing.T, s *suite) {
						s.source, s.db = open(t)
						test(t, s)
					})
				})
			}
		})
	}
}

func types(t *testing.T, s *suite) {
	s.reader(t)
	rows, err := all[json.RawMessage](t.Context(), s.nc, "stock-of", shopArgs{"north"})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, `{"shop":"north","sku":"x-1","count":9007199254740993,"price":1.5,"sold":true,"notes":{"n":9007199254740993}}`, string(rows[0]))
	rows, err = all[json.RawMessage](t.Context(), s.nc, "stock-of", shopArgs{"south"})
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, `{"shop":"south","sku":"x-1","count":7,"price":null,"sold":false,"notes":null}`, string(rows[0]))
}

func nullArgument(t *testing.T, s *suite) {
	s.reader(t)
	for args, want := range map[string]int{`{"Than":2}`: 1, `{"Than":null}`: 0, `{}`: 0} {
		rows, err := all[shopArgs](t.Context(), s.nc, "cheaper", json.RawMessage(args))
		require.NoError(t, err)
		require.Len(t, rows, want)
	}
}

// Rows that are written while a result is read are not among it.
func snapshot(t *testing.T, s *suite) {
	s.fill(t, 3000, 500)
	s.reader(t)
	n := 0
	for row, err := range query.Rows[sale](t.Context(), s.nc, "shops", "sales", nil) {
		require.NoError(t, err)
		if n++; n == 1 {
			_, err := s.db.ExecContext(t.Context(), "DELETE FROM sales WHERE n > 2990")
			require.NoError(t, err)
			s.fill(t, 100, 1)
		}
		require.Len(t, row.Till, 500)
	}
	require.Equal(t, 3000, n)
}

func injects(t *testing.T, s *suite) {
	s.reader(t)
	for _, shop := range []string{`'; DROP TABLE stock; --`, `north' OR '1'='1`} {
		rows, err := all[shopArgs](t.Context(), s.nc, "stock-of", shopArgs{shop})
		require.NoError(t, err)
		require.Empty(t, rows)
	}
	for _, statement := range []string{"stock", "SELECT"} {
		_, err := all[shopArgs](t.Context(), s.nc, statement, nil)
		require.ErrorContains(t, err, "404")
	}
	rows, err := all[shopArgs](t.Context(), s.nc, "stock-of", shopArgs{"north"})
	require.NoError(t, err)
	require.Len(t, rows, 1)
}
