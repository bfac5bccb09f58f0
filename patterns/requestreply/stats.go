package requestreply

import (
	"sync"
	"time"
)

// stats counts what micro cannot see, because the handlers run beside it. They
// appear in the data of each endpoint's $SRV.STATS.
type stats struct {
	mu sync.Mutex
	is Stats
}

// Stats is what $SRV.STATS tells of an endpoint under "data".
type Stats struct {
	Requests    int           `json:"requests"`     // answered
	Errors      int           `json:"errors"`       // of them, with an error
	LastError   string        `json:"last_error"`   // as its asker got it
	Processing  time.Duration `json:"processing"`   // in all, in nanoseconds
	AverageTime time.Duration `json:"average_time"` // for one, in nanoseconds
}

func (s *stats) count(took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.is.Requests++
	s.is.Processing += took
	if err != nil {
		s.is.Errors++
		s.is.LastError = refusal(err).Error()
	}
}

func (s *stats) snapshot() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := s.is
	if is.Requests > 0 {
		is.AverageTime = is.Processing / time.Duration(is.Requests)
	}
	return is
}
