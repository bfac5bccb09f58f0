package datapump_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

func large(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	const n = 3_000
	fill(t, s.js, n)
	reaches(t, p, n)
	rows := s.sales(t)
	require.Len(t, rows, n)
	for i, row := range rows {
		require.Equal(t, i, row.N)
	}
}

func breaksOff(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	var last uint64
	for n := range 300 { // in several chunks
		last = publish(t, s.js, "sales", fmt.Sprintf(`{"n":%d,"till":%q}`, n, strings.Repeat("t", 500)))
	}
	reaches(t, p, last)
	for range 20 { // more than are answered at once
		for row, err := range datapump.Query[sale](t.Context(), s.nc, "shops", "sales", nil) {
			var refused *datapump.Error
			if errors.As(err, &refused) && refused.Code == "429" {
				break // those before are being closed
			}
			require.NoError(t, err)
			require.Zero(t, row.N)
			break
		}
	}
	natstest.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		_, err := all[sale](ctx, s.nc, "sales", nil)
		return err
	})
}

func refusals(t *testing.T, s *suite) {
	_, err := all[sale](t.Context(), s.nc, "sales", nil)
	require.ErrorIs(t, err, datapump.ErrNobody)
	s.reader(t)
	for statement, want := range map[string]string{"unknown": "404", "stock-of": ""} {
		_, err := all[sale](t.Context(), s.nc, statement, nil)
		var refused *datapump.Error
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorAs(t, err, &refused)
			require.Equal(t, want, refused.Code)
		}
	}
	for _, args := range []any{map[string]any{"shop": 1}, map[string]any{"shop; DROP TABLE stock": "x"}, []int{1}} {
		_, err := all[stock](t.Context(), s.nc, "stock-of", args)
		var refused *datapump.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "400", refused.Code)
	}
}

func evil(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	names := []string{`n\") VALUES (1); DROP TABLE sales; --`, `n\"`, `rowid`, `N`, ``, `n\u0000`}
	for _, name := range names {
		publish(t, s.js, "sales", `{"`+name+`":1}`)
	}
	last := publish(t, s.js, "sales", `{"n":1,"till":"'); DROP TABLE sales; --"}`)
	reaches(t, p, last)
	require.Equal(t, []sale{{1, `'); DROP TABLE sales; --`}}, s.sales(t))
	require.Len(t, diverted(t, s.js, "main"), len(names))
}

func races(t *testing.T, s *suite) {
	_, err := s.store.Applied(t.Context(), "p")
	require.NoError(t, err)
	for round := range uint64(10) {
		var wg sync.WaitGroup
		var won atomic.Int32
		for range 4 {
			wg.Go(func() {
				err := s.store.Apply(context.Background(), "p", round, round+1, []datapump.Row{{Table: &schema.Tables[1], Seq: round + 1, Values: []any{int64(round), "a"}}})
				if err == nil {
					won.Add(1)
				} else {
					assert.ErrorIs(t, err, datapump.ErrFenced)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 1, won.Load())
	}
}

// What is lost on the way is noticed, whichever message it was.
func TestLost(t *testing.T) {
	before := map[string]int{"a chunk in the middle": 1, "the first chunk": 0, "a row": 1, "the end": 1}
	for name, sent := range map[string][]nats.Header{
		"a chunk in the middle": {{"Chunk": {"0"}}, {"Chunk": {"2"}, "End": {"3"}}},
		"the first chunk":       {{"Chunk": {"1"}, "End": {"2"}}},
		"a row":                 {{"Chunk": {"0"}, "End": {"2"}}},
		"the end":               {{"Chunk": {"0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				nc := s.Connect("reader")
				_, err := nc.Subscribe("shops.query.sales", func(m *nats.Msg) {
					for _, h := range sent {
						assert.NoError(t, nc.PublishMsg(&nats.Msg{Subject: m.Reply, Reply: "shops.credit", Header: h, Data: []byte(`[{"n":1}]`)}))
					}
				})
				require.NoError(t, err)
				require.NoError(t, nc.Flush())
				rows, err := all[sale](t.Context(), s.Connect("client"), "sales", nil)
				require.ErrorIs(t, err, datapump.ErrIncomplete)
				require.Len(t, rows, before[name]) // and none from beyond the gap
			})
		})
	}
}
