package natstest

import (
	"context"
	"math/rand/v2"
	"time"
)

// InjectFaults cuts the links of the named clients, delays them by less than slowest
// and, if restart, restarts the server, until ctx ends. Then it restores all of them.
func (s *Server) InjectFaults(ctx context.Context, r *rand.Rand, names []string, slowest time.Duration, restart bool) {
	for ctx.Err() == nil {
		link := s.Link(names[r.IntN(len(names))])
		switch r.IntN(6) {
		case 0, 1:
			link.Cut()
		case 2:
			link.Down()
			time.Sleep(time.Duration(r.IntN(800)) * time.Millisecond)
			link.Up()
		case 3, 4:
			link.Delay(time.Duration(r.IntN(int(slowest/time.Millisecond))) * time.Millisecond)
		case 5:
			if !restart {
				continue
			}
			// A server sleeps while it holds a lock during shutdown: a request to create a consumer
			// would stop the fake clock, and a batch committed now would leak goroutines.
			for _, name := range names {
				s.Link(name).Down()
			}
			time.Sleep(50 * time.Millisecond)
			s.Stop()
			time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
			if err := s.Start(); err != nil {
				panic(err)
			}
			for _, name := range names {
				s.Link(name).Up()
			}
		}
		time.Sleep(time.Duration(100+r.IntN(900)) * time.Millisecond)
	}
	for _, name := range names {
		s.Link(name).Delay(0)
	}
}
