package sequence

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// line is one sequence, as far as it has come.
type line struct {
	id      string
	next    uint64 // the number that is to go out next; 0 if that is not known yet
	stored  uint64 // where in the stream what went out last is; 0 if nothing has
	held    map[uint64]jetstream.Msg
	missing time.Time // since when next has been waited for, while others are held
	asked   time.Time // when it was last decided to wait on
}

// gap returns what is missing before the first message held.
func (l *line) gap(now time.Time) Gap {
	first := uint64(0)
	for n := range l.held {
		if first == 0 || n < first {
			first = n
		}
	}
	return Gap{ID: l.id, From: l.next, To: first - 1, Waited: now.Sub(l.missing)}
}

// farthest returns the number of the last message held.
func (l *line) farthest() (n uint64) {
	for held := range l.held {
		n = max(n, held)
	}
	return n
}
