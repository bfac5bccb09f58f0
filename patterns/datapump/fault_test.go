package datapump_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

var histories = flag.Uint64("histories", 6, "fault histories to go through")

// twin makes a store with a bug of one without.
type twin func(datapump.Store, *sql.DB) datapump.Store

func right(s datapump.Store, _ *sql.DB) datapump.Store { return s }

// Histories of two pumps of one name, while links are cut, servers restart, pumps
// die, and the store fails before and after it commits.
func TestFaults(t *testing.T) {
	for seed := range *histories {
		if err := simulate(t, seed, right); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// flaky fails now and then, before it commits or after.
type flaky struct {
	datapump.Store
	mu sync.Mutex
	r  *rand.Rand
}

var errDown = errors.New("the store is down")

func (f *flaky) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	f.mu.Lock()
	dice := f.r.IntN(10)
	f.mu.Unlock()
	if dice == 0 {
		return errDown
	}
	err := f.Store.Apply(ctx, pump, from, to, rows)
	if dice == 1 && err == nil {
		return errDown
	}
	return err
}

func simulate(t *testing.T, seed uint64, wrong twin) (broken error) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r := rand.New(rand.NewPCG(seed, 0))
		var store datapump.Store
		if seed%2 == 1 {
			store = newBucket(t, s.JetStream("store"))
		} else {
			sqlite, db := newSQLite(t)
			store = wrong(sqlite, db)
		}
		cfg := datapump.Config{Storage: jetstream.FileStorage, Pause: 300 * time.Millisecond, Batch: 5, Timeout: time.Second}
		var wg sync.WaitGroup
		heal, healed := context.WithTimeout(t.Context(), 15*time.Second)
		defer healed()
		for i := range 2 {
			js, f := s.JetStream(fmt.Sprint("line-", i)), &flaky{Store: store, r: rand.New(rand.NewPCG(seed, uint64(i)+1))}
			_, err := datapump.NewPump(ctx, js, "shops", "main", f, cfg)
			require.NoError(t, err)
			wg.Go(func() {
				for heal.Err() == nil { // lives for a while, dies, and another takes its place
					life, end := context.WithTimeout(heal, time.Duration(500+f.r.IntN(2000))*time.Millisecond)
					if p, err := datapump.NewPump(life, js, "shops", "main", f, cfg); err == nil {
						_ = p.Run(life) // the rows are the test
					} else {
						<-life.Done()
					}
					end()
				}
			})
		}
		good, bad, writer := 0, 0, s.JetStream("line-2")
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				row := sale{n, "till"}
				if n%7 == 3 && seed%2 == 0 {
					row.Till = "stolen" // which the table refuses
				}
				var body any = row
				if n%7 == 5 {
					body = map[string]any{"n": "five"}
				}
				for err := errDown; err != nil && heal.Err() == nil; {
					try, end := context.WithTimeout(heal, time.Second)
					err = datapump.Write(try, writer, "shops", "sales", fmt.Sprint("w-", n), body)
					end()
				}
				if good++; n%7 == 5 || row.Till == "stolen" {
					good, bad = good-1, bad+1
				}
				time.Sleep(time.Duration(rand.New(rand.NewPCG(seed, uint64(n))).IntN(40)) * time.Millisecond)
			}
			for at, err := uint64(0), error(nil); at < uint64(good+bad) && heal.Err() == nil; at, err = store.Applied(heal, "main") {
				_ = err // the next try may do
				time.Sleep(200 * time.Millisecond)
			}
			healed()
		})
		wg.Go(func() {
			s.InjectFaults(ctx, r, []string{"line-0", "line-1", "line-2"}, 400*time.Millisecond, seed%2 == 0)
		})
		wg.Wait()
		broken = verify(t, s.JetStream("check"), store, good, bad)
	})
	return broken
}

func verify(t *testing.T, js jetstream.JetStream, store datapump.Store, good, bad int) error {
	count := map[string]int{}
	for row, err := range store.Query(t.Context(), schema.Statements[2], nil) {
		if err != nil {
			return err
		}
		count[string(row)]++
	}
	for row, n := range count {
		if n > 1 {
			return fmt.Errorf("%s is there %d times", row, n)
		}
	}
	if len(count) != good {
		return fmt.Errorf("%d of %d rows", len(count), good)
	}
	if n := len(diverted(t, js, "main")); n != bad {
		return fmt.Errorf("%d diverted, of %d bad rows", n, bad)
	}
	return nil
}
