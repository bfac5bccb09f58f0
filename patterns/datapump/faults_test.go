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
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

var histories = flag.Uint64("histories", 6, "fault histories to go through")

// mutant makes a store with a bug of one without.
type mutant func(datapump.Store, *sql.DB) datapump.Store

func correct(s datapump.Store, _ *sql.DB) datapump.Store { return s }

// Histories of two pumps of one name, while links are cut, servers restart, pumps
// crash, and the store fails before and after it commits.
func TestFaults(t *testing.T) {
	for seed := range *histories {
		if err := simulate(t, seed, correct); err != nil {
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

func simulate(t *testing.T, seed uint64, mutate mutant) (broken error) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r := rand.New(rand.NewPCG(seed, 0))
		sqlite, db := newSQLite(t)
		store := mutate(sqlite, db)
		cfg := datapump.Config{Storage: jetstream.FileStorage, MaxBackoff: 300 * time.Millisecond, Batch: 5, Timeout: time.Second}
		var wg sync.WaitGroup
		heal, healed := context.WithTimeout(t.Context(), 15*time.Second)
		defer healed()
		for i := range 2 {
			js, f := s.JetStream(fmt.Sprint("client-", i)), &flaky{Store: store, r: rand.New(rand.NewPCG(seed, uint64(i)+1))}
			_, err := datapump.NewPump(ctx, js, "shops", "main", f, storetest.Tables, cfg)
			require.NoError(t, err)
			wg.Go(func() {
				for heal.Err() == nil { // each life ends with a crash
					life, end := context.WithTimeout(heal, time.Duration(500+f.r.IntN(2000))*time.Millisecond)
					if p, err := datapump.NewPump(life, js, "shops", "main", f, storetest.Tables, cfg); err == nil {
						_ = p.Run(life) // the rows are the test
					} else {
						<-life.Done()
					}
					end()
				}
			})
		}
		good, bad, writer := 0, 0, s.JetStream("client-2")
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				row := sale{n, "till"}
				if n%7 == 3 {
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
			for at, err := uint64(0), error(nil); at < uint64(good+bad) && heal.Err() == nil; at, err = store.Position(heal, "main") {
				_ = err // the next call can succeed
				time.Sleep(200 * time.Millisecond)
			}
			healed()
		})
		wg.Go(func() {
			s.InjectFaults(ctx, r, []string{"client-0", "client-1", "client-2"}, 400*time.Millisecond, seed%2 == 0)
		})
		wg.Wait()
		broken = verify(t, s.JetStream("check"), reader(db), good, bad)
	})
	return broken
}

func verify(t *testing.T, js jetstream.JetStream, read storetest.Read, good, bad int) error {
	count := map[sale]int{}
	for _, row := range salesIn(t, read) {
		if count[row]++; count[row] > 1 {
			return fmt.Errorf("%v is stored %d times", row, count[row])
		}
	}
	if len(count) != good {
		return fmt.Errorf("%d of %d rows", len(count), good)
	}
	if n := len(rejected(t, js, "main")); n != bad {
		return fmt.Errorf("%d of %d invalid rows were rejected", n, bad)
	}
	return nil
}
