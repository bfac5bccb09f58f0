package perkey_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// panics is a ledger whose first calls panic.
type panics struct {
	*bank
	last, apply bool
}

func (p *panics) Last(ctx context.Context, key string) (uint64, error) {
	if p.last {
		p.last = false
		panic("last")
	}
	return p.bank.Last(ctx, key)
}

func (p *panics) Apply(ctx context.Context, e perkey.Event) error {
	if p.apply {
		p.apply = false
		panic("apply")
	}
	return p.bank.Apply(ctx, e)
}

// A panic is a failure of one event: it is retried after Backoff, and the others of its
// key wait.
func TestPanic(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		missing := 0
		stop := run(t, s.JetStream("books"), &panics{bank: b, last: true, apply: true}, perkey.Config{
			Concurrency: 1, Backoff: 3 * time.Second,
			Missing: func(context.Context, string, uint64, uint64) ([]perkey.Event, error) {
				if missing++; missing == 1 {
					panic("missing")
				}
				return []perkey.Event{deposit("b")}, nil
			}})
		publish(t, js, deposit("a"), withdraw("a"))
		time.Sleep(8900 * time.Millisecond)
		require.Empty(t, b.now().balance)
		time.Sleep(200 * time.Millisecond)
		require.Equal(t, map[string]int{"a": 80}, b.now().balance, "3 s after the first panic, and 6 s after the second")
		publish(t, js, withdraw("b"))
		time.Sleep(time.Minute)
		require.Equal(t, map[string]int{"a": 80, "b": 80}, b.now().balance)
		require.Equal(t, 2, missing)
		require.NoError(t, stop())
		require.Zero(t, unacked(t, js, 1))
	})
}

// Missing can return the events in any order, and more of them than it was asked for.
func TestMissingInAnyOrder(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{Missing: func(_ context.Context, key string, from, to uint64) (events []perkey.Event, _ error) {
			for v := to; v >= from; v-- {
				events = append(events, event(key, v, 1), event("other", v, 1))
			}
			return events, nil
		}})
		publish(t, js, event("a", 8, 1))
		time.Sleep(5100 * time.Millisecond)
		require.Equal(t, map[string]int{"a": 8}, b.now().balance)
		require.NoError(t, stop())
	})
}

// Apply may change the event, also before it fails.
func TestApplyChangesEvent(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		b.fails = func(e perkey.Event, try int) (bool, error) {
			e.Header.Del(perkey.HeaderVersion)
			if try == 1 {
				return false, errors.New("not applied")
			}
			return true, nil
		}
		stop := run(t, s.JetStream("books"), b, perkey.Config{})
		publish(t, js, deposit("a"), withdraw("a"))
		time.Sleep(time.Second)
		require.Equal(t, 80, b.now().balance["a"])
		require.NoError(t, stop())
		require.Zero(t, unacked(t, js, 1))
	})
}

// After a success, a failed event is retried after the first Backoff again.
func TestBackoffStartsAgain(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		b.fails = func(e perkey.Event, try int) (bool, error) {
			if e.Version == 1 && try <= 4 || e.Version == 2 && try == 1 {
				return false, errors.New("broken")
			}
			return true, nil
		}
		stop := run(t, s.JetStream("books"), b, perkey.Config{Backoff: time.Second})
		publish(t, js, deposit("a"), withdraw("a"))
		time.Sleep(15500 * time.Millisecond) // 1 + 2 + 4 + 8 s
		require.Equal(t, 100, b.now().balance["a"])
		time.Sleep(time.Second)
		require.Equal(t, 80, b.now().balance["a"])
		require.NoError(t, stop())
	})
}

// A gap waits for GapTimeout from its own beginning, also soon after another gap of the
// key.
func TestSecondGap(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		start, asked := time.Now(), []string{}
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{Missing: func(_ context.Context, _ string, from, to uint64) ([]perkey.Event, error) {
			asked = append(asked, fmt.Sprint(time.Since(start).Round(100*time.Millisecond), " ", from, " to ", to))
			return []perkey.Event{event("a", 3, 1)}, nil
		}})
		publish(t, js, event("a", 2, 1))
		time.Sleep(time.Second)
		publish(t, js, event("a", 1, 1))
		time.Sleep(time.Second)
		publish(t, js, event("a", 4, 1))
		time.Sleep(10 * time.Second)
		require.Equal(t, 4, b.now().balance["a"])
		require.NoError(t, stop())
		require.Equal(t, []string{"7s 3 to 3"}, asked)
	})
}
