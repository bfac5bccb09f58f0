package schedule_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

var histories = flag.Uint64("histories", 3, "number of fault histories")

// planner is a process that schedules and cancels; crash ends it, and it starts again.
type planner interface {
	at(ctx context.Context, id string, at time.Time, text string) error
	cancel(ctx context.Context, id string) error
	crash()
}

type conditional struct{ *schedule.Calendar }

func (h conditional) at(ctx context.Context, id string, at time.Time, text string) error {
	return h.At(ctx, id, at, body(text))
}
func (h conditional) cancel(ctx context.Context, id string) error {
	_, err := h.Cancel(ctx, id)
	return err
}
func (h conditional) crash() {}

// op is one call of a planner, retried while it failed, with its result.
type op struct {
	id, text   string // no text: a cancel
	at         time.Time
	start, end time.Time
	err        error
}

// plan makes the calls of one planner.
func plan(ctx context.Context, p planner, client string, r *rand.Rand) (ops []op) {
	for n := range 10 {
		o := op{id: fmt.Sprint(client, "-", r.IntN(3)), start: time.Now()}
		if r.IntN(4) > 0 {
			o.text, o.at = fmt.Sprint(client, "-", n), time.Now().Add(time.Duration(300+r.IntN(5000))*time.Millisecond)
		}
		for range 4 {
			try, cancel := context.WithTimeout(ctx, time.Duration(200+r.IntN(2000))*time.Millisecond)
			if o.text == "" {
				o.err = p.cancel(try, o.id)
			} else {
				o.err = p.at(try, o.id, o.at, o.text)
			}
			if cancel(); o.err == nil || errors.Is(o.err, schedule.ErrPast) {
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		o.end = time.Now()
		ops = append(ops, o)
		if r.IntN(5) == 0 {
			p.crash()
		}
		time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
	}
	return ops
}

// history runs two planners, and a worker that handles due messages, with disconnects,
// delays and server restarts. It returns the violations of the guarantees.
func history(t *testing.T, seed uint64, newPlanner func(t *testing.T, s *natstest.Server, client string) planner) (violations []string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cfg := schedule.Config{}
		c := calendar(t, s, "owner", cfg)
		require.NoError(t, c.Every(t.Context(), "tick", 2*time.Second, body("tick")))
		_, err := c.Consumer(t.Context(), "worker")
		require.NoError(t, err)
		var mu sync.Mutex
		handled := map[uint64]int{}
		cons, err := s.JetStream("worker").Consumer(t.Context(), "SCHEDULE_shop", "worker")
		require.NoError(t, err)
		work, err := cons.Consume(func(m jetstream.Msg) {
			meta, err := m.Metadata()
			if err != nil {
				return
			}
			mu.Lock()
			handled[meta.Sequence.Stream]++
			mu.Unlock()
			_ = m.Ack()
		})
		require.NoError(t, err)
		ctx, stopFaults := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			time.Sleep(33 * time.Millisecond)
			s.InjectFaults(ctx, rand.New(rand.NewPCG(seed, 0)), []string{"a", "b", "worker"}, 900*time.Millisecond, true)
		})
		ops := make([][]op, 2)
		for i, client := range []string{"a", "b"} {
			p := newPlanner(t, s, client)
			all.Go(func() {
				time.Sleep(time.Duration(7*i) * time.Millisecond)
				ops[i] = plan(t.Context(), p, client, rand.New(rand.NewPCG(seed, uint64(i)+1)))
			})
		}
		time.Sleep(14 * time.Second)
		stopFaults()
		all.Wait()
		time.Sleep(45 * time.Second) // what the worker did not ack is redelivered after 30s
		work.Stop()
		<-work.Closed()
		violations = violationsOf(append(ops[0], ops[1]...), stored(t, s), handled)
	})
	return violations
}

func violationsOf(ops []op, all []*jetstream.RawStreamMsg, handled map[uint64]int) (violations []string) {
	due, ticks := map[string][]time.Time{}, map[int]int{}
	for _, m := range all {
		if !strings.HasSuffix(m.Subject, ".due") {
			continue
		}
		if handled[m.Sequence] == 0 {
			violations = append(violations, "never handled: "+string(m.Data))
		}
		if string(m.Data) == "tick" {
			ticks[int(m.Time.Sub(midnight)/(2*time.Second))]++
		}
		due[string(m.Data)] = append(due[string(m.Data)], m.Time)
	}
	for n := range len(ticks) {
		if ticks[n+1] != 1 {
			violations = append(violations, fmt.Sprintf("%d ticks after %ds", ticks[n+1], 2*(n+1)))
		}
	}
	for i, o := range ops {
		if o.text == "" {
			continue
		}
		must, mustNot := o.err == nil, false // be due
		for _, later := range ops[i+1:] {
			if later.id != o.id {
				continue
			}
			must = must && later.start.After(o.at.Add(1500*time.Millisecond)) // the server is never down for longer
			mustNot = mustNot || later.err == nil && later.end.Before(o.at)
		}
		when := due[o.text]
		switch {
		case len(when) > 1:
			violations = append(violations, "due twice: "+o.text)
		case len(when) == 1 && when[0].Before(o.at):
			violations = append(violations, "due early: "+o.text)
		case len(when) == 1 && mustNot:
			violations = append(violations, "due after a cancel: "+o.text)
		case len(when) == 0 && must:
			violations = append(violations, "lost: "+o.text)
		}
	}
	return violations
}

// With faults a scheduled message is due once, and not before its time. One that is
// replaced or cancelled before its time is not due. Each tick is due once. All due
// messages are handled. The seed of a history that fails is printed.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		violations := history(t, seed, func(t *testing.T, s *natstest.Server, client string) planner {
			return conditional{calendar(t, s, client, schedule.Config{})}
		})
		require.Empty(t, violations, "seed %d", seed)
	}
}
