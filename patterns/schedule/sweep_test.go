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

var histories = flag.Uint64("histories", 3, "fault histories to go through")

// planner is a process that plans and cancels; die ends it, and it starts again.
type planner interface {
	at(ctx context.Context, id string, at time.Time, text string) error
	cancel(ctx context.Context, id string) error
	die()
}

type honest struct{ *schedule.Calendar }

func (h honest) at(ctx context.Context, id string, at time.Time, text string) error {
	return h.At(ctx, id, at, body(text))
}
func (h honest) cancel(ctx context.Context, id string) error { _, err := h.Cancel(ctx, id); return err }
func (h honest) die()                                        {}

// op is one call of a planner, repeated while it failed, and what became of it.
type op struct {
	id, text   string // no text: a cancel
	at         time.Time
	start, end time.Time
	err        error
}

// plan goes through a planner's day.
func plan(ctx context.Context, p planner, who string, r *rand.Rand) (ops []op) {
	for n := range 10 {
		o := op{id: fmt.Sprint(who, "-", r.IntN(3)), start: time.Now()}
		if r.IntN(4) > 0 {
			o.text, o.at = fmt.Sprint(who, "-", n), time.Now().Add(time.Duration(300+r.IntN(5000))*time.Millisecond)
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
			p.die()
		}
		time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
	}
	return ops
}

// history has two planners plan and cancel, and a worker handle what is due, while links
// are cut and slowed and the server restarts. It returns what is amiss in the end.
func history(t *testing.T, seed uint64, newPlanner func(t *testing.T, s *natstest.Server, who string) planner) (amiss []string) {
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
		ctx, calm := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			time.Sleep(33 * time.Millisecond)
			s.InjectFaults(ctx, rand.New(rand.NewPCG(seed, 0)), []string{"a", "b", "worker"}, 900*time.Millisecond, true)
		})
		ops := make([][]op, 2)
		for i, who := range []string{"a", "b"} {
			p := newPlanner(t, s, who)
			all.Go(func() {
				time.Sleep(time.Duration(7*i) * time.Millisecond)
				ops[i] = plan(t.Context(), p, who, rand.New(rand.NewPCG(seed, uint64(i)+1)))
			})
		}
		time.Sleep(14 * time.Second)
		calm()
		all.Wait()
		time.Sleep(45 * time.Second) // what died in the worker's hands comes again after 30s
		work.Stop()
		<-work.Closed()
		amiss = judge(append(ops[0], ops[1]...), stored(t, s), handled)
	})
	return amiss
}

func judge(ops []op, all []*jetstream.RawStreamMsg, handled map[uint64]int) (amiss []string) {
	come, ticks := map[string][]time.Time{}, map[int]int{}
	for _, m := range all {
		if !strings.HasSuffix(m.Subject, ".due") {
			continue
		}
		if handled[m.Sequence] == 0 {
			amiss = append(amiss, "never handled: "+string(m.Data))
		}
		if string(m.Data) == "tick" {
			ticks[int(m.Time.Sub(midnight)/(2*time.Second))]++
		}
		come[string(m.Data)] = append(come[string(m.Data)], m.Time)
	}
	for n := range len(ticks) {
		if ticks[n+1] != 1 {
			amiss = append(amiss, fmt.Sprintf("%d ticks after %ds", ticks[n+1], 2*(n+1)))
		}
	}
	for i, o := range ops {
		if o.text == "" {
			continue
		}
		must, must0 := o.err == nil, false // come once; not come
		for _, later := range ops[i+1:] {
			if later.id != o.id {
				continue
			}
			must = must && later.start.After(o.at.Add(1500*time.Millisecond)) // the server is never down for longer
			must0 = must0 || later.err == nil && later.end.Before(o.at)
		}
		when := come[o.text]
		switch {
		case len(when) > 1:
			amiss = append(amiss, "came twice: "+o.text)
		case len(when) == 1 && when[0].Before(o.at):
			amiss = append(amiss, "came early: "+o.text)
		case len(when) == 1 && must0:
			amiss = append(amiss, "came after all: "+o.text)
		case len(when) == 0 && must:
			amiss = append(amiss, "lost: "+o.text)
		}
	}
	return amiss
}

// Whatever is cut, slowed or restarted: what is planned comes exactly once, not before its
// time; what is replaced or cancelled before its time does not come; each tick comes once;
// and all that comes is handled. The seed of a history that fails is printed.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		amiss := history(t, seed, func(t *testing.T, s *natstest.Server, who string) planner {
			return honest{calendar(t, s, who, schedule.Config{})}
		})
		require.Empty(t, amiss, "seed %d", seed)
	}
}
