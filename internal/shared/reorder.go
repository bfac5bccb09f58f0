package shared

import (
	"cmp"
	"slices"

	"github.com/nats-io/nats.go/jetstream"
)

// reorderQueue holds the messages of one key that arrived before their turn, sorted
// by number. A number is held once. evict bounds what is held.
type reorderQueue struct {
	next uint64 // the number to release next; 0 if it is not known
	held []numberedMsg
}

type numberedMsg struct {
	number uint64
	jetstream.Msg
}

// put holds msg. It returns whether msg replaced a message with the same number.
func (q *reorderQueue) put(number uint64, msg jetstream.Msg) (replaced bool) {
	i, replaced := q.find(number)
	if !replaced {
		q.held = slices.Insert(q.held, i, numberedMsg{number: number})
	}
	q.held[i].Msg = msg
	return replaced
}

// find returns the position of number in held, and whether it is there.
func (q *reorderQueue) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(q.held, number, func(h numberedMsg, n uint64) int { return cmp.Compare(h.number, n) })
}

// peek returns the message to release next, or nil if it is missing.
func (q *reorderQueue) peek() jetstream.Msg {
	if len(q.held) == 0 || q.held[0].number != q.next {
		return nil
	}
	return q.held[0].Msg
}

// gap returns the numbers that are missing before the first message held; 0 and 0 if
// none is.
func (q *reorderQueue) gap() (from, to uint64) {
	if len(q.held) == 0 || q.next == 0 || q.held[0].number <= q.next {
		return 0, 0
	}
	return q.next, q.held[0].number - 1
}

// advance makes next the number to release. It removes and returns the messages
// before it: they were released, or are duplicates.
func (q *reorderQueue) advance(next uint64) (done []numberedMsg) {
	i, _ := q.find(next)
	q.next, done, q.held = next, q.held[:i:i], q.held[i:]
	if len(q.held) == 0 {
		q.held = nil // frees the array
	}
	return done
}

// evict removes and returns the last n messages: those with the highest numbers.
func (q *reorderQueue) evict(n int) (last []numberedMsg) {
	if n > 0 {
		n = max(0, len(q.held)-n)
		q.held, last = q.held[:n:n], q.held[n:]
	}
	return last
}
