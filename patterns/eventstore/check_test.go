package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// torment cuts, slows and restarts for as long as ctx lasts, then heals.
func torment(ctx context.Context, s *natstest.Server, r *rand.Rand, restart bool) {
	for ctx.Err() == nil {
		line := s.Line(fmt.Sprint("line-", r.IntN(4)))
		switch r.IntN(6) {
		case 0, 1:
			line.Cut()
		case 2:
			line.Down()
			time.Sleep(time.Duration(r.IntN(800)) * time.Millisecond)
			line.Up()
		case 3, 4:
			line.Delay(time.Duration(r.IntN(700)) * time.Millisecond)
		case 5:
			if !restart {
				continue
			}
			// half a batch may be there; a server stopped while it commits one leaves goroutines behind
			for i := range 4 {
				s.Line(fmt.Sprint("line-", i)).Down()
			}
			time.Sleep(50 * time.Millisecond)
			s.Stop()
			time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
			if err := s.Start(); err != nil {
				panic(err)
			}
			for i := range 4 {
				s.Line(fmt.Sprint("line-", i)).Up()
			}
		}
		time.Sleep(time.Duration(100+r.IntN(900)) * time.Millisecond)
	}
	for i := range 4 {
		s.Line(fmt.Sprint("line-", i)).Delay(0)
	}
}

func verify(ctx context.Context, store *eventstore.Store, done []acked, told map[string][]eventstore.Event) error {
	var errs []error
	for _, entity := range []string{"account-0", "account-1"} {
		all, _, err := read(ctx, store, entity) // which fails if the versions have a gap
		errs = append(errs, err)
		seen := map[string]uint64{}
		for _, e := range all {
			if seen[e.ID] > 0 {
				errs = append(errs, fmt.Errorf("%s is stored twice, as %d and %d", e.ID, seen[e.ID], e.Version.N))
			}
			seen[e.ID] = e.Version.N
		}
		for _, a := range done {
			for i, id := range a.ids {
				if a.entity == entity && seen[id] != a.from+uint64(i) {
					errs = append(errs, fmt.Errorf("%s was acknowledged as %d and is %d", id, a.from+uint64(i), seen[id]))
				}
			}
		}
		if fmt.Sprint(all) != fmt.Sprint(told[entity]) {
			errs = append(errs, fmt.Errorf("%s: %d events stored, %d told", entity, len(all), len(told[entity])))
		}
	}
	return errors.Join(errs...)
}
