package perkey_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// What is early is held; what is missing is waited for, then asked for; other keys do
// not wait.
func TestGap(t *testing.T) {
	for name, c := range map[string]struct {
		comes  time.Duration // the deposit, after all; never if 0
		owner  func(asked int) ([]perkey.Event, error)
		inAt   time.Duration // the withdrawal
		asked  []time.Duration
		wanted int
	}{
		"hold: it comes in time": {comes: 3 * time.Second, inAt: 3 * time.Second, wanted: 80},
		"ask: the owner knows":   {inAt: 5 * time.Second, asked: []time.Duration{5 * time.Second}, wanted: 80, owner: func(int) ([]perkey.Event, error) { return []perkey.Event{deposit("early")}, nil }},
		"wait: the owner has nothing yet": {inAt: 10 * time.Second, asked: []time.Duration{5 * time.Second, 10 * time.Second}, wanted: 80, owner: func(asked int) ([]perkey.Event, error) {
			if asked == 1 {
				return nil, nil
			}
			return []perkey.Event{deposit("another"), deposit("early"), event("early", 7, 1)}, nil // what was not asked for is left
		}},
		"ask: the owner is away": {inAt: 10100 * time.Millisecond, asked: []time.Duration{5 * time.Second, 10100 * time.Millisecond}, wanted: 80, owner: func(asked int) ([]perkey.Event, error) {
			if asked == 1 {
				return nil, errors.New("away")
			}
			return []perkey.Event{deposit("early")}, nil
		}},
		"wait: it comes while it is asked for": {comes: 5*time.Second - time.Millisecond, inAt: 5*time.Second - time.Millisecond, wanted: 80, owner: func(int) ([]perkey.Event, error) { panic("it was there") }},
		"wait: nobody to ask":                  {comes: 42 * time.Second, inAt: 42 * time.Second, wanted: 80},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, b := s.JetStream("owner"), newBank(0)
				var start time.Time
				var asked []time.Duration
				cfg := perkey.Config{}
				if c.owner != nil {
					cfg.Missing = func(_ context.Context, key string, from, to uint64) ([]perkey.Event, error) {
						assert.Equal(t, "early 1 to 1", fmt.Sprintf("%s %d to %d", key, from, to))
						asked = append(asked, time.Since(start))
						return c.owner(len(asked))
					}
				}
				stop := run(t, s.JetStream("books"), b, cfg)
				start = time.Now()
				publish(t, js, withdraw("early"), deposit("other"), withdraw("other"))
				time.Sleep(time.Millisecond)
				require.Equal(t, 80, b.now().balance["other"], "it does not wait")
				require.Zero(t, b.now().version["early"])
				if c.comes > 0 {
					time.Sleep(c.comes - time.Millisecond)
					publish(t, js, deposit("early"))
				}
				time.Sleep(time.Minute - time.Since(start))
				require.NoError(t, stop())
				require.Equal(t, c.wanted, b.now().balance["early"])
				require.Equal(t, c.inAt, b.now().end.Sub(start).Round(time.Millisecond))
				require.Equal(t, c.asked, asked)
				require.Zero(t, b.now().refused+b.now().overdraw)
				require.Zero(t, unsettled(t, js, 1))
				delivered := must(js.Consumer(t.Context(), "PERKEY_bank", "books-0")).CachedInfo().Delivered
				require.Equal(t, delivered.Stream, delivered.Consumer, "what is held is not delivered again")
			})
		})
	}
}

// A failed event holds back what is later of its key, for as long as it fails, and
// nothing of others.
func TestFailedHoldsBack(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
		heals := time.Now().Add(time.Minute)
		b.fails = func(e perkey.Event, _ int) (bool, error) {
			if e.Key == "sick" && e.Version == 2 && time.Now().Before(heals) {
				return false, errors.New("no")
			}
			return true, nil
		}
		stop := run(t, s.JetStream("books"), b, perkey.Config{Workers: 2, Room: 20})
		for v := range uint64(50) { // more than there is room for
			publish(t, js, event("sick", v+1, 1), event("sound", v+1, 1))
		}
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 50, b.now().version["sound"])
		require.EqualValues(t, 1, b.now().version["sick"])
		time.Sleep(90 * time.Second)
		require.EqualValues(t, 50, b.now().version["sick"])
		require.Equal(t, 13, b.now().tries["sick.2"], "100ms, 200ms … 10s apart")
		require.Zero(t, b.now().overlaps+b.now().refused)
		require.NoError(t, stop())
		require.Zero(t, unsettled(t, js, 1))
	})
}

// What there is no room for is put back, and comes again; so the one that all wait
// for gets through, and other keys do.
func TestRoom(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{Room: 4})
		for v := uint64(100); v > 1; v-- {
			publish(t, js, event("a", v, 1), event("b", v, 1))
		}
		publish(t, js, deposit("other"))
		time.Sleep(time.Second)
		require.Equal(t, 100, b.now().balance["other"])
		publish(t, js, event("a", 1, 1), event("b", 1, 1))
		time.Sleep(10 * time.Minute)
		require.Equal(t, map[string]int{"a": 100, "b": 100, "other": 100}, b.now().balance)
		require.Zero(t, b.now().refused)
		require.NoError(t, stop())
		require.Zero(t, unsettled(t, js, 1))
	})
}

// What was asked for finds room, however much it is, also if it fails, or lacks the first.
func TestAskedFails(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		b.fails = func(e perkey.Event, try int) (bool, error) {
			if e.Version%10 == 1 && try == 1 {
				return false, errors.New("no")
			}
			return true, nil
		}
		asked := map[string]int{}
		stop := run(t, s.JetStream("books"), b, perkey.Config{Workers: 1, Room: 4, Missing: func(_ context.Context, key string, from, to uint64) (events []perkey.Event, err error) {
			for v := from; v <= to; v++ {
				events = append(events, event(key, v, 1))
			}
			asked[key]++
			if asked[key] == 1 {
				events = events[1:]
			}
			return events, nil
		}})
		publish(t, js, event("a", 60, 1), event("b", 60, 1))
		time.Sleep(2 * time.Minute)
		require.Equal(t, map[string]int{"a": 60, "b": 60}, b.now().balance)
		require.Zero(t, b.now().refused)
		require.NoError(t, stop())
		require.Zero(t, unsettled(t, js, 1))
	})
}

// What comes twice is applied once: within the stream's window of duplicates, after
// it, before it is applied and after.
func TestTwice(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
		stop := run(t, s.JetStream("books"), b, perkey.Config{Room: 4})
		publish(t, js, withdraw("a"), withdraw("a"))
		time.Sleep(3 * time.Minute)
		publish(t, js, withdraw("a"))
		time.Sleep(3 * time.Minute) // one is held, and the other comes again and again
		publish(t, js, deposit("a"))
		time.Sleep(time.Second)
		require.Equal(t, 80, b.now().balance["a"], "it was held all the time")
		time.Sleep(3 * time.Minute)
		publish(t, js, deposit("a"))
		time.Sleep(time.Minute)
		require.Equal(t, 80, b.now().balance["a"])
		require.Equal(t, map[string]int{"a.1": 1, "a.2": 1}, b.now().tries)
		require.NoError(t, stop())
		require.Zero(t, unsettled(t, js, 1))
		info, err := must(js.Stream(t.Context(), "PERKEY_bank")).Info(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 4, info.State.Msgs, "the stream knew one of them")
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Many keys: what is not in use is forgotten, and the ledger asked again.
func TestManyKeys(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{Room: 2})
		for _, e := range []func(string) perkey.Event{deposit, withdraw} {
			for k := range 50 {
				publish(t, js, e(fmt.Sprint("account-", k)))
			}
		}
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.Len(t, b.now().balance, 50)
		require.Greater(t, b.now().asked, 80)
		for k, balance := range b.now().balance {
			require.Equal(t, 80, balance, k)
		}
	})
}
