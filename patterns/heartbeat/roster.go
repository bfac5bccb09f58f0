package heartbeat

import (
	"container/heap"
	"slices"
	"strings"
	"time"
)

// Member is an instance that is Up.
type Member struct {
	ID       string    `json:"id"`
	Since    time.Time `json:"since"`     // the first heartbeat of its current run, by the Monitor's clock
	LastSeen time.Time `json:"last_seen"` // the last heartbeat
	Version  string    `json:"version,omitempty"`
	Load     float64   `json:"load"`
}

// instance is an instance that is Up or Lost.
type instance struct {
	Member
	seq        uint64
	ttl        time.Duration
	deadline   time.Time     // of the next heartbeat; of a silent Lost instance: when it is removed
	queued     time.Time     // the deadline in the queue
	lost       bool          // not Up again yet
	steadyFrom time.Time     // Lost: its heartbeats are steady since then; zero if silent
	upAt       time.Time     // when it last became Up
	trial      time.Duration // how long heartbeats must be steady after Lost
}

const (
	// maxTrial is the longest trial, in multiples of Config.Steady. An instance that
	// was Up for longer than its trial starts again with the shortest one.
	maxTrial = 32

	// rememberLost is how long a Lost instance is remembered, to detect flapping.
	rememberLost = time.Hour
)

// roster holds all instances, and a queue of their deadlines. A heartbeat changes only
// the deadline of its instance; the queue is updated when the old deadline comes. So
// the cost of a heartbeat does not depend on the number of instances.
type roster struct {
	steady time.Duration
	byID   map[string]*instance
	queue  deadlines
}

func newRoster(steady time.Duration) roster {
	return roster{steady: steady, byID: map[string]*instance{}}
}

var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// nextDeadline returns the first deadline of the queue.
func (r *roster) nextDeadline() time.Time {
	if len(r.queue) == 0 {
		return never
	}
	return r.queue[0].at
}

// receive updates an instance by its heartbeat, and returns its new State, or "".
func (r *roster) receive(id string, b beat, now time.Time) (state State) {
	m := r.byID[id]
	if b.TTL <= 0 {
		delete(r.byID, id)
		if m == nil || m.lost {
			return ""
		}
		return Left
	}
	switch {
	case m == nil:
		m = &instance{Member: Member{ID: id, Since: now}, upAt: now}
		r.byID[id] = m
		state = Up
	case b.Seq < m.seq: // it restarted within its TTL
		m.Since = now
	}
	m.seq, m.ttl = b.Seq, time.Duration(min(b.TTL, maxTTL.Milliseconds()))*time.Millisecond
	m.deadline, m.LastSeen, m.Version, m.Load = now.Add(m.ttl), now, b.Version, b.Load
	if m.lost && m.steadyFrom.IsZero() {
		m.steadyFrom = now
	}
	if m.lost && now.Sub(m.steadyFrom) >= m.trial {
		m.lost, m.upAt, m.Since = false, now, m.steadyFrom
		state = Up
	}
	if m.queued.IsZero() || m.deadline.Before(m.queued) {
		r.push(m)
	}
	return state
}

// hasExpired reports whether a deadline has passed. It first updates the queue for
// instances whose deadline has moved.
func (r *roster) hasExpired(now time.Time) bool {
	for len(r.queue) > 0 && !r.queue[0].at.After(now) {
		m := r.byID[r.queue[0].id]
		current := m != nil && m.queued.Equal(r.queue[0].at)
		if current && !m.deadline.After(now) {
			return true
		}
		heap.Pop(&r.queue)
		if current {
			r.push(m)
		}
	}
	return false
}

// expire returns, by ID, the instances that were Up and whose deadline has passed.
func (r *roster) expire(now time.Time) (lost []string) {
	for r.hasExpired(now) {
		m := r.byID[heap.Pop(&r.queue).(deadline).id]
		if m.lost && m.steadyFrom.IsZero() {
			delete(r.byID, m.ID) // it was silent for rememberLost
			continue
		}
		if !m.lost {
			lost = append(lost, m.ID)
			if now.Sub(m.upAt) > m.trial {
				m.trial = 0
			}
		}
		m.lost, m.steadyFrom = true, time.Time{}
		m.trial = min(max(2*m.trial, r.steady), maxTrial*r.steady)
		m.deadline = now.Add(rememberLost)
		r.push(m)
	}
	slices.Sort(lost)
	return lost
}

// extend sets the deadline of each heartbeat that is due to one TTL from now.
func (r *roster) extend(now time.Time) {
	for _, m := range r.byID {
		if !m.lost || !m.steadyFrom.IsZero() {
			m.deadline = now.Add(m.ttl)
		}
	}
	r.hasExpired(now) // updates the queue
}

// members returns the instances that are Up, by ID.
func (r *roster) members() []Member {
	var members []Member
	for _, m := range r.byID {
		if !m.lost {
			members = append(members, m.Member)
		}
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return members
}

func (r *roster) push(m *instance) {
	m.queued = m.deadline
	heap.Push(&r.queue, deadline{m.deadline, m.ID})
}

// deadline is an entry of the queue. It counts only if it is the queued time of its
// instance.
type deadline struct {
	at time.Time
	id string
}

// deadlines is a heap.
type deadlines []deadline

func (q deadlines) Len() int           { return len(q) }
func (q deadlines) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q deadlines) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *deadlines) Push(x any)        { *q = append(*q, x.(deadline)) }
func (q *deadlines) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
