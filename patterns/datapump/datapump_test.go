package datapump_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

// Each store keeps the contract of Store.
func TestStores(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) { storetest.Test(t, open) })
	}
}

// A pump does the same with each store.
func TestConformance(t *testing.T) {
	cases := map[string]func(t *testing.T, s *suite){
		"rows are stored as they were written":         roundTrip,
		"a row replaces the row with its key":          replaces,
		"an invalid row is rejected and blocks no row": rejects,
		"a pump starts at the position of the last":    resumes,
		"two pumps with one ID write each row once":    twoPumps,
		"names in a payload do not become SQL":         injects,
	}
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			for sentence, test := range cases {
				t.Run(sentence, func(t *testing.T) {
					bubble(t, func(t *testing.T, s *suite) {
						s.store, s.read = open(t)
						test(t, s)
					})
				})
			}
		})
	}
}

type suite struct {
	js    jetstream.JetStream
	store datapump.Store
	read  storetest.Read
}

func bubble(t *testing.T, test func(t *testing.T, s *suite)) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) { test(t, &suite{js: s.JetStream("test")}) })
}

func (s *suite) pump(t *testing.T, cfg datapump.Config) *datapump.Pump {
	cfg.Storage = jetstream.MemoryStorage
	p, err := datapump.NewPump(t.Context(), s.js, "shops", "main", s.store, storetest.Tables, cfg)
	require.NoError(t, err)
	return p
}

func (s *suite) sales(t *testing.T) []sale { return salesIn(t, s.read) }

func roundTrip(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	notes := json.RawMessage(`{"kind":"tea\t\\N\n","n":9007199254740993,"tags":["a","b"]}`) // which no float64 is
	want := [][]any{
		{"north", "nothing else", int64(0), nil, nil, nil},
		{"north", "x-1", int64(1 << 62), 1.5, true, notes},
		{"süd \\ \t.>*", "x-1", int64(7), 1.5, nil, nil},
	}
	for i, v := range want {
		row := map[string]any{"shop": v[0], "sku": v[1], "count": v[2], "price": v[3], "sold": v[4], "notes": v[5]}
		require.NoError(t, datapump.Write(t.Context(), s.js, "shops", "stock", fmt.Sprint("w-", i), row))
		require.NoError(t, datapump.Write(t.Context(), s.js, "shops", "stock", fmt.Sprint("w-", i), row)) // the same write
	}
	reaches(t, p, 3)
	got := s.read(t, "stock")
	for _, values := range got { // a database may write an object with other spaces
		if document, ok := values[5].(json.RawMessage); ok {
			require.JSONEq(t, string(notes), string(document))
			require.Contains(t, string(document), "9007199254740993")
			values[5] = notes
		}
	}
	require.ElementsMatch(t, want, got)
	require.Equal(t, datapump.State{Position: 3, Rows: 3}, p.State())
}

func replaces(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	last := publish(t, s.js, "stock",
		`{"shop":"a","sku":"1","count":1,"sold":true}`, `{"shop":"a","sku":"2","count":1}`, `{"shop":"a","sku":"1","count":2}`)
	runs(t, p)
	reaches(t, p, last)
	publish(t, s.js, "stock", `{"shop":"a","sku":"2","count":5}`)
	reaches(t, p, last+1)
	require.ElementsMatch(t, [][]any{{"a", "1", int64(2), nil, nil, nil}, {"a", "2", int64(5), nil, nil, nil}}, s.read(t, "stock"))
}

func resumes(t *testing.T, s *suite) {
	for i := range 5 {
		p := s.pump(t, datapump.Config{})
		last := publish(t, s.js, "sales", fmt.Sprintf(`{"n":%d,"till":"a"}`, 2*i), fmt.Sprintf(`{"n":%d,"till":"b"}`, 2*i+1))
		stop := runs(t, p)
		reaches(t, p, last)
		stop()
	}
	for i, row := range s.sales(t) {
		require.Equal(t, i, row.N)
	}
	require.Len(t, s.sales(t), 10)
}

func twoPumps(t *testing.T, s *suite) {
	cfg := datapump.Config{MaxBackoff: 20 * time.Millisecond, Batch: 7}
	a := s.pump(t, cfg)
	cfg.Batch = 5
	b := s.pump(t, cfg)
	runs(t, a)
	runs(t, b)
	var last uint64
	for n := range 200 {
		last = publish(t, s.js, "sales", fmt.Sprintf(`{"n":%d,"till":"a"}`, n))
	}
	natstest.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		if at, err := s.store.Position(ctx, "main"); err != nil || at < last {
			return fmt.Errorf("at %d: %w", at, err)
		}
		return nil
	})
	seen := map[int]int{}
	for _, row := range s.sales(t) {
		seen[row.N]++
	}
	require.Len(t, seen, 200)
	require.Len(t, s.sales(t), 200)
}

func rejects(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	var last uint64
	for n := range 20 {
		last = publish(t, s.js, "sales", fmt.Sprintf(`{"n":%d,"till":"a"}`, n))
		switch n {
		case 3:
			publish(t, s.js, "sales", `{"n":"three"}`, `{"n":1.5}`, `no json`, `{"n":3,"till":"a"} more`, `{"n":3,"card":"4111"}`)
		case 4:
			publish(t, s.js, "secrets", `{}`)
			publish(t, s.js, "stock", `{"shop":"a","count":1}`, `null`)
		}
	}
	runs(t, p)
	reaches(t, p, last)
	require.Len(t, s.sales(t), 20)
	reasons := rejected(t, s.js, "main")
	require.Len(t, reasons, 8)
	require.Contains(t, reasons["5"], `column "n": want an integer`)
	require.Contains(t, reasons["9"], `column "card" is not one of those allowed`)
	require.EqualValues(t, 8, p.State().Rejected)
}

func injects(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	names := []string{`n\") VALUES (1); DROP TABLE sales; --`, `n\"`, `rowid`, `N`, ``, `n\u0000`}
	for _, name := range names {
		publish(t, s.js, "sales", `{"`+name+`":1}`)
	}
	last := publish(t, s.js, "sales", `{"n":1,"till":"'); DROP TABLE sales; --"}`)
	reaches(t, p, last)
	require.Equal(t, []sale{{1, `'); DROP TABLE sales; --`}}, s.sales(t))
	require.Len(t, rejected(t, s.js, "main"), len(names))
}
