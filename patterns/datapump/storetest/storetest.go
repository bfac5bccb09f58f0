// Package storetest tests implementations of [datapump.Store].
package storetest

import (
	"context"
	"encoding/json"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/datapump"
)

// Tables are the tables of the suite. A store under test refuses a negative count of
// stock, and a sale with the till "stolen", with [datapump.ErrInvalidRow].
var Tables = []datapump.Table{
	{Name: "stock", Key: []string{"shop", "sku"}, Columns: []datapump.Column{
		{Name: "shop"}, {Name: "sku"}, {Name: "count", Type: datapump.Integer}, {Name: "price", Type: datapump.Real},
		{Name: "sold", Type: datapump.Boolean}, {Name: "notes", Type: datapump.Document}}},
	{Name: "sales", Columns: []datapump.Column{{Name: "n", Type: datapump.Integer}, {Name: "till"}}},
}

// SQL creates the Tables in SQLite and PostgreSQL.
const SQL = `CREATE TABLE stock (shop TEXT, sku TEXT, count BIGINT CHECK (count >= 0), price DOUBLE PRECISION, sold BOOLEAN, notes JSON, PRIMARY KEY (shop, sku));
CREATE TABLE sales (n BIGINT, till TEXT CHECK (till <> 'stolen'))`

// Read returns the values of all rows of a table, in any order. The types are those of
// [datapump.Row].
type Read func(t *testing.T, table string) [][]any

// Test runs the suite. Each case opens an empty store with the Tables.
func Test(t *testing.T, open func(t *testing.T) (datapump.Store, Read)) {
	cases := map[string]func(t *testing.T, s *suite){
		"a row keeps its values":                                 keepsValues,
		"a row replaces the row with its key in full":            replaces,
		"of rows with one key in one Apply the last is stored":   storesLast,
		"each row of a table without a key is added":             adds,
		"Apply without rows moves the position":                  movesPosition,
		"each pump has a position":                               separatePositions,
		"Apply at another position is fenced":                    fences,
		"of concurrent Applies at one position one succeeds":     fencesConcurrent,
		"an invalid row is reported and nothing is stored":       reportsInvalid,
		"an Apply whose context has ended fails without effects": respectsContext,
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			store, read := open(t)
			require.Zero(t, position(t, store, "p"))
			test(t, &suite{Store: store, read: read})
		})
	}
}

type suite struct {
	datapump.Store
	read Read
	at   uint64
}

func position(t *testing.T, s datapump.Store, pump string) uint64 {
	at, err := s.Position(t.Context(), pump)
	require.NoError(t, err)
	return at
}

// apply applies rows at the next position.
func (s *suite) apply(t *testing.T, rows ...datapump.Row) {
	t.Helper()
	require.NoError(t, s.Apply(t.Context(), "p", s.at, s.at+1, rows))
	s.at++
	require.Equal(t, s.at, position(t, s, "p"))
}

func row(table int, values ...any) datapump.Row {
	object := map[string]any{}
	for i, v := range values {
		object[Tables[table].Columns[i].Name] = v
	}
	data, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	r, err := datapump.NewRow(&Tables[table], 0, data)
	if err != nil {
		panic(err)
	}
	return r
}

func stock(values ...any) datapump.Row { return row(0, values...) }

func sale(values ...any) datapump.Row { return row(1, values...) }

func keepsValues(t *testing.T, s *suite) {
	notes := json.RawMessage(`{"kind":"tea\t\\N\n","n":9007199254740993,"tags":["a","b"]}`)
	rows := []datapump.Row{
		stock("north", "nothing else"),
		stock("north", "x-1", math.MaxInt64, 0.1+0.2, true, notes),
		stock("süd \\ \t.>*", `'); DROP TABLE stock; --`, 0, 5e-324, false, json.RawMessage(`"text"`)),
		sale(1, "\\N"), sale(math.MinInt64, ""), sale(0, nil),
	}
	s.apply(t, rows...)
	for i, table := range []string{"stock", "sales"} {
		got := s.read(t, table)
		for _, values := range got {
			for k, v := range values {
				if document, ok := v.(json.RawMessage); ok {
					compact, err := json.Marshal(document) // a database may store JSON with other spaces
					require.NoError(t, err)
					values[k] = json.RawMessage(compact)
				}
			}
		}
		require.ElementsMatch(t, [][]any{rows[3*i].Values, rows[3*i+1].Values, rows[3*i+2].Values}, got)
	}
}

func replaces(t *testing.T, s *suite) {
	s.apply(t, stock("a", "1", 1, 2.5, true), stock("a", "2", 1))
	s.apply(t, stock("a", "1", 2))
	require.ElementsMatch(t, [][]any{stock("a", "1", 2).Values, stock("a", "2", 1).Values}, s.read(t, "stock"))
}

func storesLast(t *testing.T, s *suite) {
	s.apply(t, stock("a", "1", 1, 2.5), stock("b", "1", 7), stock("a", "1", 2), stock("a", "1", 3))
	require.ElementsMatch(t, [][]any{stock("a", "1", 3).Values, stock("b", "1", 7).Values}, s.read(t, "stock"))
}

func adds(t *testing.T, s *suite) {
	s.apply(t, sale(1, "a"), sale(1, "a"))
	s.apply(t, sale(1, "a"), stock("a", "1"), sale(2, "a"))
	require.ElementsMatch(t, [][]any{sale(1, "a").Values, sale(1, "a").Values, sale(1, "a").Values, sale(2, "a").Values}, s.read(t, "sales"))
	require.Len(t, s.read(t, "stock"), 1)
}

func movesPosition(t *testing.T, s *suite) {
	s.apply(t)
	s.apply(t, sale(1, "a"))
	s.apply(t)
}

func separatePositions(t *testing.T, s *suite) {
	s.apply(t, sale(1, "a"))
	require.Zero(t, position(t, s, "q"))
	require.NoError(t, s.Apply(t.Context(), "q", 0, 9, []datapump.Row{sale(2, "a")}))
	require.EqualValues(t, 9, position(t, s, "q"))
	require.EqualValues(t, 1, position(t, s, "p"))
}

func fences(t *testing.T, s *suite) {
	s.apply(t, sale(1, "a"))
	for _, from := range []uint64{0, 2} {
		require.ErrorIs(t, s.Apply(t.Context(), "p", from, 3, []datapump.Row{sale(2, "a")}), datapump.ErrFenced)
	}
	require.EqualValues(t, 1, position(t, s, "p"))
	require.Len(t, s.read(t, "sales"), 1)
}

func fencesConcurrent(t *testing.T, s *suite) {
	for round := range uint64(10) {
		var wg sync.WaitGroup
		var succeeded atomic.Int32
		for range 4 {
			wg.Go(func() {
				err := s.Apply(context.WithoutCancel(t.Context()), "p", round, round+1, []datapump.Row{sale(round, "a")})
				if err == nil {
					succeeded.Add(1)
				} else {
					assert.ErrorIs(t, err, datapump.ErrFenced)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, succeeded.Load())
	}
	require.Len(t, s.read(t, "sales"), 10)
}

func reportsInvalid(t *testing.T, s *suite) {
	s.apply(t, sale(1, "a"))
	for _, invalid := range []datapump.Row{stock("a", "1", -1), sale(2, "stolen")} {
		err := s.Apply(t.Context(), "p", 1, 4, []datapump.Row{sale(3, "a"), invalid, sale(4, "a")})
		require.ErrorIs(t, err, datapump.ErrInvalidRow)
		require.EqualValues(t, 1, position(t, s, "p"))
		require.Len(t, s.read(t, "sales"), 1)
	}
}

func respectsContext(t *testing.T, s *suite) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, s.Apply(ended, "p", 0, 1, []datapump.Row{sale(1, "a")}))
	require.Zero(t, position(t, s, "p"))
	require.Empty(t, s.read(t, "sales"))
}
