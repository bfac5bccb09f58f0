package shared

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// testMsg is a message that is only a number.
type testMsg struct {
	jetstream.Msg
	number uint64
}

// Messages arrive in any order and some of them twice, and evicted messages arrive
// again. Each is released once and in order, and no more than the bound are held.
func TestReorderQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var numbers []uint64
		for n := range rapid.Uint64Range(1, 40).Draw(t, "messages") {
			numbers = append(numbers, n+1)
		}
		bound := rapid.IntRange(1, 12).Draw(t, "bound")
		duplicates := rapid.SliceOfN(rapid.SampledFrom(numbers), 0, 10).Draw(t, "duplicates")
		arrivals := rapid.Permutation(append(duplicates, numbers...)).Draw(t, "arrivals")
		q := reorderQueue{next: 1}
		var released []uint64
		for len(arrivals) > 0 {
			arrived := arrivals[0]
			arrivals = arrivals[1:]
			_, held := q.find(arrived)
			require.Equal(t, held, q.put(arrived, testMsg{number: arrived}))
			for _, duplicate := range q.advance(q.next) {
				require.Contains(t, released, duplicate.number)
			}
			for msg := q.peek(); msg != nil; msg = q.peek() {
				released = append(released, msg.(testMsg).number)
				require.Len(t, q.advance(q.next+1), 1)
			}
			for _, msg := range q.evict(len(q.held) - bound) {
				arrivals = append(arrivals, msg.number)
			}
			require.LessOrEqual(t, len(q.held), bound)
			if from, to := q.gap(); len(q.held) > 0 {
				require.Equal(t, []uint64{q.next, q.held[0].number - 1}, []uint64{from, to})
			}
			for i := 1; i < len(q.held); i++ {
				require.Less(t, q.held[i-1].number, q.held[i].number)
			}
		}
		require.Equal(t, numbers, released)
		require.Empty(t, q.held)
	})
}

func TestReorderQueueEdges(t *testing.T) {
	filled := func(next uint64, numbers ...uint64) *reorderQueue {
		q := &reorderQueue{next: next}
		for _, n := range numbers {
			q.put(n, testMsg{number: n})
		}
		return q
	}
	numbers := func(msgs []numberedMsg) (n []uint64) {
		for _, msg := range msgs {
			require.Equal(t, msg.number, msg.Msg.(testMsg).number)
			n = append(n, msg.number)
		}
		return n
	}
	t.Run("a redelivery replaces the message", func(t *testing.T) {
		q := filled(1, 3)
		require.True(t, q.put(3, testMsg{number: 33}))
		require.Len(t, q.held, 1)
		require.Equal(t, testMsg{number: 33}, q.held[0].Msg)
	})
	t.Run("an unknown next number has no gap and releases nothing", func(t *testing.T) {
		q := filled(0, 2, 3)
		from, to := q.gap()
		require.Zero(t, from+to)
		require.Nil(t, q.peek())
	})
	t.Run("advance over a gap removes what is before the number", func(t *testing.T) {
		q := filled(1, 2, 3, 7)
		require.Equal(t, []uint64{2, 3}, numbers(q.advance(5)))
		require.Equal(t, []uint64{7}, numbers(q.held))
		from, to := q.gap()
		require.Equal(t, []uint64{5, 6}, []uint64{from, to})
	})
	t.Run("evict removes the highest numbers, and not more than there are", func(t *testing.T) {
		q := filled(1, 5, 2, 9)
		require.Empty(t, q.evict(-1))
		evicted := q.evict(2)
		q.put(6, testMsg{number: 6}) // does not overwrite what evict returned
		require.Equal(t, []uint64{5, 9}, numbers(evicted))
		require.Equal(t, []uint64{2, 6}, numbers(q.evict(10)))
		require.Empty(t, q.held)
	})
	t.Run("put does not overwrite what advance returned", func(t *testing.T) {
		q := filled(1, 1, 2, 4)
		done := q.advance(3)
		q.put(3, testMsg{number: 3})
		require.Equal(t, []uint64{1, 2}, numbers(done))
	})
}

// An evict of nothing, which follows each put, does not make the next put copy the queue.
func TestReorderQueueAllocations(t *testing.T) {
	allocations := testing.AllocsPerRun(1, func() {
		q := reorderQueue{}
		for n := range uint64(1000) {
			q.put(n+1, nil)
			q.evict(int(n) - 1000)
		}
	})
	require.Less(t, allocations, 50.0)
}
