package datapump_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

// The same client, the same rows, three stores.
func TestConformance(t *testing.T) {
	stores := map[string]func(t *testing.T, js jetstream.JetStream) datapump.Store{
		"SQLite":     func(t *testing.T, _ jetstream.JetStream) datapump.Store { s, _ := newSQLite(t); return s },
		"PostgreSQL": func(t *testing.T, _ jetstream.JetStream) datapump.Store { s, _ := newPostgres(t); return s },
		"a bucket":   func(t *testing.T, js jetstream.JetStream) datapump.Store { return newBucket(t, js) },
	}
	cases := map[string]func(t *testing.T, s *suite){
		"rows come back as they were written":          roundTrip,
		"a row replaces the one with its key":          replaces,
		"a bad row is diverted and stops no other":     diverts,
		"a pump goes on where the last one stopped":    goesOn,
		"two pumps of one name write each row once":    twoPumps,
		"a transaction takes effect as a whole or not": atomically,
		"of pumps at one place one goes on":            races,
		"a large result is whole":                      large,
		"a client that wants no more is left alone":    breaksOff,
		"refusals arrive as errors":                    refusals,
		"evil names do not become SQL":                 evil,
	}
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			for sentence, test := range cases {
				t.Run(sentence, func(t *testing.T) {
					bubble(t, func(t *testing.T, s *suite) {
						s.store = store(t, s.js)
						test(t, s)
					})
				})
			}
		})
	}
}

type suite struct {
	js    jetstream.JetStream
	nc    *nats.Conn
	store datapump.Store
}

func bubble(t *testing.T, test func(t *testing.T, s *suite)) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("test")
		test(t, &suite{js: js, nc: js.Conn()})
	})
}

func (s *suite) pump(t *testing.T, cfg datapump.Config) *datapump.Pump {
	cfg.Storage = jetstream.MemoryStorage
	p, err := datapump.NewPump(t.Context(), s.js, "shops", "main", s.store, cfg)
	require.NoError(t, err)
	return p
}

func (s *suite) reader(t *testing.T) {
	r, err := datapump.NewReader(t.Context(), s.nc, "shops", s.store, datapump.Config{})
	require.NoError(t, err)
	runs(t, r)
}

func (s *suite) sales(t *testing.T) []sale {
	rows, err := all[sale](t.Context(), s.nc, "sales", nil)
	require.NoError(t, err)
	return rows
}

func roundTrip(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	price, sold, notes := 1.5, true, json.RawMessage(`{"kind":"tea\t\\N\n","n":9007199254740993,"tags":["a","b"]}`)
	want := []stock{
		{Shop: "north", SKU: "nothing else"},
		{Shop: "north", SKU: "x-1", Count: 1 << 62, Price: &price, Sold: &sold, Notes: &notes},
		{Shop: "süd \\ \t.>*", SKU: "x-1", Count: 7, Price: &price},
	}
	for i, row := range want {
		require.NoError(t, datapump.Write(t.Context(), s.js, "shops", "stock", fmt.Sprint("w-", i), row))
		require.NoError(t, datapump.Write(t.Context(), s.js, "shops", "stock", fmt.Sprint("w-", i), row)) // the same write
	}
	reaches(t, p, 3)
	got, err := all[stock](t.Context(), s.nc, "stock", nil)
	require.NoError(t, err)
	for i := range got { // a database may write an object with other spaces
		if got[i].Notes != nil {
			require.JSONEq(t, string(notes), string(*got[i].Notes))
			require.Contains(t, string(*got[i].Notes), "9007199254740993") // which no float64 is
			got[i].Notes = &notes
		}
	}
	require.ElementsMatch(t, want, got)
	got, err = all[stock](t.Context(), s.nc, "stock-of", map[string]string{"shop": want[2].Shop})
	require.NoError(t, err)
	require.Equal(t, want[2:], got)
	require.Equal(t, datapump.State{Applied: 3, Rows: 3}, p.State())
}

func replaces(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	last := publish(t, s.js, "stock",
		`{"shop":"a","sku":"1","count":1,"sold":true}`, `{"shop":"a","sku":"2","count":1}`, `{"shop":"a","sku":"1","count":2}`)
	runs(t, p)
	s.reader(t)
	reaches(t, p, last)
	publish(t, s.js, "stock", `{"shop":"a","sku":"2","count":5}`)
	reaches(t, p, last+1)
	got, err := all[stock](t.Context(), s.nc, "stock", nil)
	require.NoError(t, err)
	require.ElementsMatch(t, []stock{{Shop: "a", SKU: "1", Count: 2}, {Shop: "a", SKU: "2", Count: 5}}, got) // sold is gone: a row is replaced in full
}

func goesOn(t *testing.T, s *suite) {
	for i := range 5 {
		p := s.pump(t, datapump.Config{})
		last := publish(t, s.js, "sales", fmt.Sprintf(`{"n":%d,"till":"a"}`, 2*i), fmt.Sprintf(`{"n":%d,"till":"b"}`, 2*i+1))
		stop := runs(t, p)
		reaches(t, p, last)
		stop()
	}
	s.reader(t)
	for i, row := range s.sales(t) {
		require.Equal(t, i, row.N)
	}
	require.Len(t, s.sales(t), 10)
}

func atomically(t *testing.T, s *suite) {
	ctx := t.Context()
	sales := &schema.Tables[1]
	row := func(n int64, till string) datapump.Row {
		return datapump.Row{Table: sales, Seq: uint64(n), Values: []any{n, till}}
	}
	at, err := s.store.Applied(ctx, "p")
	require.NoError(t, err)
	require.Zero(t, at)
	require.NoError(t, s.store.Apply(ctx, "p", 0, 2, []datapump.Row{row(1, "a"), row(2, "a")}))
	require.ErrorIs(t, s.store.Apply(ctx, "p", 0, 2, []datapump.Row{row(1, "a"), row(2, "a")}), datapump.ErrFenced)
	require.ErrorIs(t, s.store.Apply(ctx, "p", 1, 3, []datapump.Row{row(3, "a")}), datapump.ErrFenced)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	require.Error(t, s.store.Apply(ended, "p", 2, 3, []datapump.Row{row(3, "a")}))
	at, err = s.store.Applied(ctx, "p")
	require.NoError(t, err)
	require.EqualValues(t, 2, at)
	s.reader(t)
	require.Len(t, s.sales(t), 2)
}

func twoPumps(t *testing.T, s *suite) {
	a, b := s.pump(t, datapump.Config{Pause: 20 * time.Millisecond, Batch: 7}), s.pump(t, datapump.Config{Pause: 20 * time.Millisecond, Batch: 5})
	runs(t, a)
	runs(t, b)
	s.reader(t)
	var last uint64
	for n := range 200 {
		last = publish(t, s.js, "sales", fmt.Sprintf(`{"n":%d,"till":"a"}`, n))
	}
	natstest.Eventually(t, 10*time.Second, func(ctx context.Context) error {
		if at, err := s.store.Applied(ctx, "main"); err != nil || at < last {
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

func diverts(t *testing.T, s *suite) {
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
	s.reader(t)
	reaches(t, p, last)
	require.Len(t, s.sales(t), 20)
	reasons := diverted(t, s.js, "main")
	require.Len(t, reasons, 8)
	require.Contains(t, reasons["5"], `column "n": it wants an integer`)
	require.Contains(t, reasons["9"], `column "card" is not one of those allowed`)
	require.EqualValues(t, 8, p.State().Diverted)
}
