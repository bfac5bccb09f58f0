package datapump_test

import (
	"context"
	"fmt"
	"testing"

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
