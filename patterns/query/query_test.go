package query_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/query"
)

func large(t *testing.T, s *suite) {
	const n = 3_000
	s.fill(t, n, 1)
	s.reader(t)
	rows := s.sales(t)
	require.Len(t, rows, n)
	for i, row := range rows {
		require.Equal(t, i, row.N)
	}
}

func breaksOff(t *testing.T, s *suite) {
	s.fill(t, 300, 500) // in several chunks
	s.reader(t)
	for range 20 { // more than run at once
		for row, err := range query.Rows[sale](t.Context(), s.nc, "shops", "sales", nil) {
			var refused *query.Error
			if errors.As(err, &refused) && refused.Code == "429" {
				break // the earlier queries are being cancelled
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
	require.ErrorIs(t, err, query.ErrNoReader)
	s.reader(t)
	for statement, want := range map[string]string{"unknown": "404", "stock-of": ""} {
		_, err := all[sale](t.Context(), s.nc, statement, nil)
		var refused *query.Error
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorAs(t, err, &refused)
			require.Equal(t, want, refused.Code)
		}
	}
	for _, args := range []any{map[string]any{"shop": 1}, map[string]any{"shop; DROP TABLE stock": "x"}, []int{1}} {
		_, err := all[shopArgs](t.Context(), s.nc, "stock-of", args)
		var refused *query.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "400", refused.Code)
	}
}

// A lost message is detected, whichever it was.
func TestLost(t *testing.T) {
	before := map[string]int{"a chunk in the middle": 1, "the first chunk": 0, "a row": 1, "the end": 1}
	for name, sent := range map[string][]nats.Header{
		"a chunk in the middle": {{"Query-Chunk": {"0"}}, {"Query-Chunk": {"2"}, "Query-Rows": {"3"}}},
		"the first chunk":       {{"Query-Chunk": {"1"}, "Query-Rows": {"2"}}},
		"a row":                 {{"Query-Chunk": {"0"}, "Query-Rows": {"2"}}},
		"the end":               {{"Query-Chunk": {"0"}}},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				nc := s.Connect("reader")
				_, err := nc.Subscribe("shops.query.sales", func(m *nats.Msg) {
					for _, h := range sent {
						assert.NoError(t, nc.PublishMsg(&nats.Msg{Subject: m.Reply, Reply: "shops.more", Header: h, Data: []byte(`[{"n":1}]`)}))
					}
				})
				require.NoError(t, err)
				require.NoError(t, nc.Flush())
				rows, err := all[sale](t.Context(), s.Connect("client"), "sales", nil)
				require.ErrorIs(t, err, query.ErrIncomplete)
				require.Len(t, rows, before[name]) // and none after the gap
			})
		})
	}
}
