package datapump_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

// A bucket has no snapshots: what is written while it is read may be among the
// result, but no key is there twice, and none is missing.
func TestBucketMoves(t *testing.T) {
	js := natstest.Start(t).JetStream("test")
	store := newBucket(t, js)
	table := &schema.Tables[0]
	put := func(from uint64, n int, count int64) {
		var rows []datapump.Row
		for i := range n {
			rows = append(rows, datapump.Row{Table: table, Values: []any{"north", fmt.Sprint("sku-", i), count, nil, nil, nil}})
		}
		require.NoError(t, store.Apply(context.Background(), "p", from, from+1, rows))
	}
	put(0, 900, 1)
	seen := map[string]int{}
	for row, err := range store.Query(t.Context(), schema.Statements[0], nil) {
		require.NoError(t, err)
		if len(seen) == 100 {
			put(1, 950, 2)
		}
		seen[string(row)]++
	}
	keys := map[string]bool{}
	second := 0
	for row := range seen {
		var sku string
		var count int
		_, err := fmt.Sscanf(row, `{"shop":"north","sku":%q,"count":%d,`, &sku, &count)
		require.NoError(t, err)
		require.False(t, keys[sku], sku)
		keys[sku] = true
		if count == 2 {
			second++
		}
	}
	require.GreaterOrEqual(t, len(keys), 900)
	require.NotZero(t, second)
}

// Rows that are lost on their way from the bucket are not taken for its end.
func TestBucketCut(t *testing.T) {
	for _, at := range []time.Duration{40, 60, 90, 130, 170, 250, 330, 410} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			store := newBucket(t, s.JetStream("store"))
			rows := make([]datapump.Row, 600)
			for i := range rows {
				rows[i] = datapump.Row{Table: &schema.Tables[1], Seq: uint64(i + 1), Values: []any{int64(i), "a"}}
			}
			require.NoError(t, store.Apply(t.Context(), "p", 0, 1, rows))
			s.Link("store").Delay(20 * time.Millisecond)
			cut := time.AfterFunc(at*time.Millisecond, s.Link("store").Cut)
			defer cut.Stop()
			n := 0
			for _, err := range store.Query(t.Context(), schema.Statements[2], nil) {
				if err != nil {
					return
				}
				n++
			}
			require.Equal(t, 600, n, at)
		})
	}
}
