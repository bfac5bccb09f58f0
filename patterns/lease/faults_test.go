package lease_test

import (
	"context"
	"flag"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
)

var histories = flag.Uint64("histories", 10, "number of fault histories")

// record is what the candidates of a history did.
type record struct {
	mu     sync.Mutex
	leads  int // now
	most   int
	tokens []uint64          // of the terms, as they began
	writes map[uint64]uint64 // token of a write by revision
}

func (r *record) begin(term *lease.Term) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leads++
	r.most = max(r.most, r.leads)
	r.tokens = append(r.tokens, term.Token())
}

func (r *record) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leads--
}

func (r *record) leading() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leads
}

func (r *record) wrote(term *lease.Term, revision uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writes[revision] = term.Token()
}

// During disconnects, delays and server restarts, at most one candidate leads at a
// time, tokens grow, and no write of an earlier term follows a write of a later one.
// The seed of a history that fails is printed; -histories 200 runs more.
func TestFaults(t *testing.T) {
	terms := 0
	for seed := range *histories {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			chance := rand.New(rand.NewPCG(seed, 0))
			r := &record{writes: map[uint64]uint64{}}
			names := []string{"ann", "bob", "cleo"}
			var ends []func()
			for _, name := range names {
				ends = append(ends, lead(t, s, name, func(ctx context.Context, term *lease.Term) {
					r.begin(term)
					defer r.end()
					for ctx.Err() == nil {
						if revision, err := term.Put(ctx, "next", []byte(name)); err == nil {
							r.wrote(term, revision)
						}
						select {
						case <-time.After(200 * time.Millisecond):
						case <-ctx.Done():
						}
					}
				}))
			}
			for range 6 {
				time.Sleep(time.Duration(chance.IntN(4000)) * time.Millisecond)
				link := s.Link(names[chance.IntN(len(names))])
				switch chance.IntN(4) {
				case 0:
					link.Cut()
				case 1:
					link.Down()
					time.Sleep(time.Duration(chance.IntN(8000)) * time.Millisecond)
					link.Up()
				case 2:
					link.Delay(time.Duration(chance.IntN(3000)) * time.Millisecond)
				case 3:
					s.Stop()
					time.Sleep(time.Duration(chance.IntN(3000)) * time.Millisecond)
					require.NoError(t, s.Start())
				}
			}
			for _, name := range names {
				s.Link(name).Delay(0)
			}
			time.Sleep(10 * time.Second)
			require.Equal(t, 1, r.leading(), "seed %d: a leader after the faults", seed)
			for _, end := range ends {
				end()
			}
			require.Equal(t, 1, r.most, "seed %d: leaders at once", seed)
			require.True(t, slices.IsSorted(r.tokens), "seed %d: tokens %v", seed, r.tokens)
			terms += len(r.tokens)
			last := uint64(0)
			for _, revision := range slices.Sorted(maps.Keys(r.writes)) {
				require.GreaterOrEqual(t, r.writes[revision], last, "seed %d: a write of an earlier term", seed)
				last = r.writes[revision]
			}
		})
	}
	require.Greater(t, terms, int(*histories), "the faults end terms")
}
