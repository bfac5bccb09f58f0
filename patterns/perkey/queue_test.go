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

// An early event is held. A missing one is awaited, and then fetched. Other keys do not
// wait.
func TestGap(t *testing.T) {
	for name, c := range map[string]struct {
		arrives time.Duration // the missing deposit; never if 0
		owner   func(asked int) ([]perkey.Event, error)
		inAt    time.Duration // the withdrawal is applied
		asked   []time.Duration
		wanted  int
	}{
		"the missing event arrives in time":   {arrives: 3 * time.Second, inAt: 3 * time.Second, wanted: 80},
		"the owner returns the missing event": {inAt: 5 * time.Second, asked: []time.Duration{5 * time.Second}, wanted: 80, owner: func(int) ([]perkey.Event, error) { return []perkey.Event{deposit("early")}, nil }},
		"the owner does not have the event yet": {inAt: 10 * time.Second, asked: []time.Duration{5 * time.Second, 10 * time.Second}, wanted: 80, owner: func(asked int) ([]perkey.Event, error) {
			if asked == 1 {
				return nil, nil
			}
			return []perkey.Event{deposit("another"), deposit("early"), event("early", 7, 1)}, nil // the rest is ignored
		}},
		"the owner fails": {inAt: 10100 * time.Millisecond, asked: []time.Duration{5 * time.Second, 10100 * time.Millisecond}, wanted: 80, owner: func(asked int) ([]perkey.Event, error) {
			if asked == 1 {
				return nil, errors.New("unavailable")
			}
			return []perkey.Event{deposit("early")}, nil
		}},
		"the missing event arrives just before the timeout": {arrives: 5*time.Second - time.Millisecond, inAt: 5*time.Second - time.Millisecond, wanted: 80, owner: func(int) ([]perkey.Event, error) { panic("not missing") }},
		"Missing is nil": {arrives: 42 * time.Second, inAt: 42 * time.Second, wanted: 80},
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
				require.Equal(t, 80, b.now().balance["other"], "another key does not wait")
				require.Zero(t, b.now().version["early"])
				if c.arrives > 0 {
					time.Sleep(c.arrives - time.Millisecond)
					publish(t, js, deposit("early"))
				}
				time.Sleep(time.Minute - time.Since(start))
				require.NoError(t, stop())
				require.Equal(t, c.wanted, b.now().balance["early"])
				require.Equal(t, c.inAt, b.now().end.Sub(start).Round(time.Millisecond))
				require.Equal(t, c.asked, asked)
				require.Zero(t, b.now().refused+b.now().overdraw)
				require.Zero(t, unacked(t, js, 1))
				delivered := must(js.Consumer(t.Context(), "PERKEY_bank", "books-0")).CachedInfo().Delivered
				require.Equal(t, delivered.Stream, delivered.Consumer, "a held event is not redelivered")
			})
		})
	}
}

// A failing event delays the later events of its key, and no other key.
func TestFailedHoldsBack(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
		heals := time.Now().Add(time.Minute)
		b.fails = func(e perkey.Event, _ int) (bool, error) {
			if e.Key == "failing" && e.Version == 2 && time.Now().Before(heals) {
				return false, errors.New("not applied")
			}
			return true, nil
		}
		stop := run(t, s.JetStream("books"), b, perkey.Config{Concurrency: 2, Buffer: 20})
		for v := range uint64(50) { // more than the buffer holds
			publish(t, js, event("failing", v+1, 1), event("healthy", v+1, 1))
		}
		time.Sleep(2 * time.Second)
		require.EqualValues(t, 50, b.now().version["healthy"])
		require.EqualValues(t, 1, b.now().version["failing"])
		time.Sleep(90 * time.Second)
		require.EqualValues(t, 50, b.now().version["failing"])
		require.Equal(t, 13, b.now().tries["failing.2"], "100ms, 200ms … 10s apart")
		require.Zero(t, b.now().overlaps+b.now().refused)
		require.NoError(t, stop())
		require.Zero(t, unacked(t, js, 1))
	})
}

// Evicted events are redelivered. So the missing event and other keys are applied while
// the buffer is full.
func TestBuffer(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{Buffer: 4})
		for v := uint64(100); v > 1; v-- {
			publish(t, js, event("a", v, 1), event("b", v, 1))
		}
		publish(t, js, deposit("other"))
		time.Sleep(20 * time.Second) // the server can refuse a pull for its pin; the client pulls again within 10 s
		require.Equal(t, 100, b.now().balance["other"])
		publish(t, js, event("a", 1, 1), event("b", 1, 1))
		time.Sleep(10 * time.Minute)
		require.Equal(t, map[string]int{"a": 100, "b": 100, "other": 100}, b.now().balance)
		require.Zero(t, b.now().refused)
		require.NoError(t, stop())
		require.Zero(t, unacked(t, js, 1))
	})
}

// The events that Missing returns are applied, also if they are more than the buffer
// holds, if one fails, and if the first is not among them.
func TestMissingFails(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		b.fails = func(e perkey.Event, try int) (bool, error) {
			if e.Version%10 == 1 && try == 1 {
				return false, errors.New("not applied")
			}
			return true, nil
		}
		asked := map[string]int{}
		stop := run(t, s.JetStream("books"), b, perkey.Config{Concurrency: 1, Buffer: 4, Missing: func(_ context.Context, key string, from, to uint64) (events []perkey.Event, err error) {
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
		require.Zero(t, unacked(t, js, 1))
	})
}

// A duplicate is applied once: within the stream's duplicate window and after it, before
// the event is applied and after it.
func TestDuplicates(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(10*time.Millisecond)
		stop := run(t, s.JetStream("books"), b, perkey.Config{Buffer: 4})
		publish(t, js, withdraw("a"), withdraw("a"))
		time.Sleep(3 * time.Minute)
		publish(t, js, withdraw("a"))
		time.Sleep(3 * time.Minute) // one is held, the other is redelivered
		publish(t, js, deposit("a"))
		time.Sleep(time.Second)
		require.Equal(t, 80, b.now().balance["a"], "it was held")
		time.Sleep(3 * time.Minute)
		publish(t, js, deposit("a"))
		time.Sleep(time.Minute)
		require.Equal(t, 80, b.now().balance["a"])
		require.Equal(t, map[string]int{"a.1": 1, "a.2": 1}, b.now().tries)
		require.NoError(t, stop())
		require.Zero(t, unacked(t, js, 1))
		info, err := must(js.Stream(t.Context(), "PERKEY_bank")).Info(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 4, info.State.Msgs, "the stream dropped one duplicate")
	})
}

// With many keys, empty queues are removed, and the ledger is read again.
func TestManyKeys(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{Buffer: 2})
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
