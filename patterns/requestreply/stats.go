package requestreply

import (
	"sync"
	"time"
)

// Stats is the field "data" of an endpoint in a reply of $SRV.STATS. The fields beside
// it are of micro, which does not see handlers that run concurrently.
type Stats struct {
	Requests    int           `json:"requests"`     // handled
	Errors      int           `json:"errors"`       // of them, failed
	LastError   string        `json:"last_error"`   // as in the reply
	Processing  time.Duration `json:"processing"`   // in all, in nanoseconds
	AverageTime time.Duration `json:"average_time"` // per request, in nanoseconds
}

// stats counts the requests of an endpoint.
type stats struct {
	mu    sync.Mutex
	total Stats
}

func (s *stats) count(took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.Requests++
	s.total.Processing += took
	s.total.AverageTime = s.total.Processing / time.Duration(s.total.Requests)
	if err != nil {
		s.total.Errors++
		s.total.LastError = publicError(err).Error()
	}
}

func (s *stats) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}
