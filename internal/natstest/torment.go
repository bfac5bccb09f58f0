package natstest

import (
	"context"
	"math/rand/v2"
	"time"
)

// Torment cuts, slows and restarts for as long as ctx lasts, then heals: the lines of
// the participants named, delayed by less than slowest, and, if restart, the server.
func (s *Server) Torment(ctx context.Context, r *rand.Rand, names []string, slowest time.Duration, restart bool) {
	for ctx.Err() == nil {
		line := s.Line(names[r.IntN(len(names))])
		switch r.IntN(6) {
		case 0, 1:
			line.Cut()
		case 2:
			line.Down()
			time.Sleep(time.Duration(r.IntN(800)) * time.Millisecond)
			line.Up()
		case 3, 4:
			line.Delay(time.Duration(r.IntN(int(slowest/time.Millisecond))) * time.Millisecond)
		case 5:
			if !restart {
				continue
			}
			// A server that stops sleeps under a lock: whoever made a consumer now would stop the
			// fake clock, and a batch that it commits now would leave goroutines behind.
			for _, name := range names {
				s.Line(name).Down()
			}
			time.Sleep(50 * time.Millisecond)
			s.Stop()
			time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
			if err := s.Start(); err != nil {
				panic(err)
			}
			for _, name := range names {
				s.Line(name).Up()
			}
		}
		time.Sleep(time.Duration(100+r.IntN(900)) * time.Millisecond)
	}
	for _, name := range names {
		s.Line(name).Delay(0)
	}
}
