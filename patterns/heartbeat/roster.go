package heartbeat

import (
	"container/heap"
	"slices"
	"strings"
	"time"
)

// Member is an instance that is up.
type Member struct {
	ID      string    `json:"id"`
	Since   time.Time `json:"since"` // its present run was first heard then, by the Monitor's clock
	Heard   time.Time `json:"heard"` // its latest beat
	Version string    `json:"version,omitempty"`
	Load    float64   `json:"load"`
}

// member is what is known of an instance, up or lost.
type member struct {
	Member
	seq    uint64
	ttl    time.Duration
	due    time.Time     // its promise runs out then; if lost and silent, it is forgotten then
	queued time.Time     // when it is to be looked at
	lost   bool          // and not yet steady again
	since  time.Time     // lost: heard without a break since then; zero if silent
	upAt   time.Time     // when it was last called up
	trial  time.Duration // how long it has to be heard to be up again
}

// The longest trial, in multiples of Config.Steady; one that has been up for as
// long as its trial begins anew with the shortest.
const maxTrial = 32

// forget is how long one that was lost is remembered, to know it flaps.
const forget = time.Hour

// roster holds everyone, and a queue of when to look at whom. A beat only moves
// its sender's due time; the queue is put right when the old time comes. So the
// cost of a beat does not depend on how many there are.
type roster struct {
	steady time.Duration
	by     map[string]*member
	queue  queue
}

func newRoster(steady time.Duration) roster {
	return roster{steady: steady, by: map[string]*member{}}
}

var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// wake is when somebody has to be looked at.
func (r *roster) wake() time.Time {
	if len(r.queue) == 0 {
		return never
	}
	return r.queue[0].at
}

// hear takes a beat and returns the State that its sender enters by it, or "".
func (r *roster) hear(id string, b beat, now time.Time) State {
	m := r.by[id]
	if b.TTL <= 0 {
		delete(r.by, id)
		if m == nil || m.lost {
			return ""
		}
		return Left
	}
	var state State
	if m == nil {
		m = &member{Member: Member{ID: id, Since: now}, upAt: now}
		r.by[id] = m
		state = Up
	} else if b.Seq < m.seq { // it began again, sooner than it was missed
		m.Since = now
	}
	m.seq, m.ttl = b.Seq, time.Duration(min(b.TTL, maxTTL.Milliseconds()))*time.Millisecond
	m.due, m.Heard, m.Version, m.Load = now.Add(m.ttl), now, b.Version, b.Load
	if m.lost {
		if m.since.IsZero() {
			m.since = now
		}
		if now.Sub(m.since) >= m.trial {
			m.lost, m.upAt, m.Since = false, now, m.since
			state = Up
		}
	}
	if m.queued.IsZero() || m.due.Before(m.queued) {
		r.look(m)
	}
	return state
}

// suspects reports whether someone's promise has run out, after putting right the
// places in the queue of those who were heard meanwhile.
func (r *roster) suspects(now time.Time) bool {
	for len(r.queue) > 0 && !r.queue[0].at.After(now) {
		m := r.by[r.queue[0].id]
		current := m != nil && m.queued.Equal(r.queue[0].at)
		if current && !m.due.After(now) {
			return true
		}
		heap.Pop(&r.queue)
		if current {
			r.look(m)
		}
	}
	return false
}

// expire returns, in order, whose promise has run out and who was up until then.
func (r *roster) expire(now time.Time) []string {
	var lost []string
	for r.suspects(now) {
		m := r.by[heap.Pop(&r.queue).(look).id]
		silent := m.lost && m.since.IsZero()
		if silent {
			delete(r.by, m.ID) // its hour is over
			continue
		}
		if !m.lost {
			lost = append(lost, m.ID)
			if now.Sub(m.upAt) > m.trial {
				m.trial = 0
			}
		}
		m.lost, m.since = true, time.Time{}
		m.trial = min(max(2*m.trial, r.steady), maxTrial*r.steady)
		m.due = now.Add(forget)
		r.look(m)
	}
	slices.Sort(lost)
	return lost
}

// pardon moves every promise to a ttl from now.
func (r *roster) pardon(now time.Time) {
	for _, m := range r.by {
		if !m.lost || !m.since.IsZero() {
			m.due = now.Add(m.ttl)
		}
	}
	r.suspects(now)
}

// up lists who is up, by id.
func (r *roster) up() []Member {
	var ms []Member
	for _, m := range r.by {
		if !m.lost {
			ms = append(ms, m.Member)
		}
	}
	slices.SortFunc(ms, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return ms
}

func (r *roster) look(m *member) {
	m.queued = m.due
	heap.Push(&r.queue, look{m.due, m.ID})
}

// look is an entry of the queue. It counts only if its member still has it as its
// queued time.
type look struct {
	at time.Time
	id string
}

type queue []look

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at.Before(q[j].at) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(look)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
