package backoff_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

var histories = flag.Uint64("histories", 3, "fault histories to run")

// The settings of the sweep. No delay is longer than AckWait, 4s, which is all that is
// promised for a message whose worker crashed.
var sweptPolicy = retry.Policy{Initial: 200 * time.Millisecond, Max: 3 * time.Second, Jitter: 0.5}

func sweptBudget() *retry.Budget {
	return &retry.Budget{Ratio: 0.2, Burst: 5, Every: 500 * time.Millisecond}
}

func sweptBreaker() *retry.Breaker {
	return &retry.Breaker{Failures: 3, Delay: retry.Policy{Initial: 500 * time.Millisecond, Max: 4 * time.Second, Jitter: 0.5}}
}

func swept() backoff.Config {
	return backoff.Config{MaxDeliver: 6, ScheduleAfter: time.Second, Timeout: 2 * time.Second, Concurrency: 2, MaxAckPending: 8,
		Policy: policy(retry.Config{Policy: sweptPolicy, Budget: sweptBudget(), Breaker: sweptBreaker()})}
}

// role consumes the messages of the bank until ctx ends: a Worker, or a mutant.
type role func(ctx context.Context, js jetstream.JetStream, handle backoff.Handler)

func worker(cfg func() backoff.Config) role {
	return func(ctx context.Context, js jetstream.JetStream, handle backoff.Handler) {
		if w, err := backoff.NewWorker(ctx, js, "bank", cfg()); err == nil {
			_ = w.Run(ctx, handle) // the sweep checks the calls
		}
	}
}

func alwaysFails(id string) bool { return id == "pay-7" || id == "pay-8" }

// span is the time of an outage, or of a restart.
type span struct{ from, to time.Duration }

// history sends thirty messages, of which two always fail, to two workers, while the
// dependency has an outage, links are cut, workers crash and are replaced, and the server
// restarts.
func history(t *testing.T, seed uint64, run role) (o outcome) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		chance := rand.New(rand.NewPCG(seed, 0))
		within := func(d time.Duration) time.Duration {
			return time.Duration(chance.Int64N(int64(d))).Round(time.Millisecond)
		}
		shop := s.JetStream("shop")
		sender, err := backoff.NewSender(t.Context(), shop, "bank", swept())
		require.NoError(t, err)
		outage := span{from: within(2 * time.Second)}
		outage.to = outage.from + within(20*time.Second)
		down := func(id string, at time.Duration) bool {
			return alwaysFails(id) || at >= outage.from && at < outage.to
		}
		begin := time.Now()
		var restarts []span
		var banks []*bank
		var all sync.WaitGroup
		spawn := func() (name string, crash func()) {
			name = fmt.Sprint("worker-", len(banks)+1)
			var crashed atomic.Bool
			ctx, cancel := context.WithCancel(t.Context())
			b := newBank(20*time.Millisecond, down)
			b.start = begin
			banks = append(banks, b)
			js := s.JetStream(name)
			all.Go(func() {
				run(ctx, js, func(ctx context.Context, msg backoff.Message) error {
					if crashed.Load() {
						return context.Canceled // a crashed worker makes no call
					}
					return b.book(ctx, msg)
				})
			})
			time.Sleep(7 * time.Millisecond)
			return name, func() { crashed.Store(true); s.Link(name).Down(); cancel() }
		}
		var names [2]string
		var crash [2]func()
		for i := range names {
			names[i], crash[i] = spawn()
		}
		var sending sync.WaitGroup
		sending.Go(func() {
			for _, id := range numbered(1, 30) {
				for sender.Send(t.Context(), id, &nats.Msg{Data: []byte("of " + id)}) != nil {
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(50 * time.Millisecond)
			}
		})
		for range 6 {
			time.Sleep(within(2 * time.Second))
			i := chance.IntN(2)
			link := s.Link(names[i])
			switch chance.IntN(5) {
			case 0:
				link.Cut()
			case 1:
				link.Down()
				time.Sleep(within(5 * time.Second))
				link.Up()
			case 2:
				link.Delay(within(300 * time.Millisecond))
			case 3:
				crash[i]()
				names[i], crash[i] = spawn()
			case 4:
				restart := span{from: time.Since(begin)}
				s.Stop()
				time.Sleep(within(3 * time.Second))
				require.NoError(t, s.Start())
				restart.to = time.Since(begin)
				restarts = append(restarts, restart)
			}
		}
		for _, name := range names {
			s.Link(name).Delay(0)
		}
		sending.Wait()
		time.Sleep(time.Minute) // attempts in progress and delays end
		crash[0]()
		crash[1]()
		all.Wait()
		o = violations(t, shop, banks, outage, restarts)
	})
	return o
}

// During disconnects, crashes, restarts and an outage of the dependency: each message is
// done, or failed with its attempts counted; no delay is too short, and no worker makes
// more calls than its budget and its breaker permit.
func TestSweep(t *testing.T) {
	var sum outcome
	for seed := range *histories {
		o := history(t, seed, worker(swept))
		sum.add(o)
		o.calls, o.failed = 0, 0
		require.Equal(t, outcome{sent: 30}, o, "seed %d", seed)
	}
	t.Logf("%+v", sum)
}

// outcome counts violations.
type outcome struct {
	sent, calls int
	stuck       int // neither done nor failed
	miscounted  int // failed after more calls than counted, or fewer than MaxDeliver
	early       int // attempts before MinDelay
	unbudgeted  int // retries without a token
	hammered    int // calls in the outage that the breaker should have stopped
	failed      int // messages that would succeed after the outage
}

func (o *outcome) add(p outcome) {
	o.sent, o.calls, o.stuck, o.miscounted = o.sent+p.sent, o.calls+p.calls, o.stuck+p.stuck, o.miscounted+p.miscounted
	o.early, o.unbudgeted, o.hammered, o.failed = o.early+p.early, o.unbudgeted+p.unbudgeted, o.hammered+p.hammered, o.failed+p.failed
}

// violations compares the calls of all workers with what the settings of the sweep allow.
func violations(t *testing.T, js jetstream.JetStream, banks []*bank, outage span, restarts []span) (o outcome) {
	var calls []call
	for _, b := range banks {
		mine := b.all()
		calls = append(calls, mine...)
		o.unbudgeted += unbudgeted(mine, sweptBudget())
		o.hammered += hammered(mine, sweptBreaker(), swept().Concurrency, outage)
	}
	o.calls = len(calls)
	slices.SortStableFunc(calls, func(a, b call) int { return int(a.at - b.at) })
	o.early = early(calls, sweptPolicy, restarts)
	done, attempts := map[string]bool{}, map[string]int{}
	for _, c := range calls {
		done[c.id] = done[c.id] || c.ok
		attempts[c.id]++
	}
	for _, id := range numbered(1, 30) {
		o.sent++
		counted, _ := failed(t, js, id)
		if !done[id] && counted == 0 {
			o.stuck++
		}
		if counted > 0 && !done[id] && !alwaysFails(id) {
			o.failed++
		}
		if counted > 0 && (counted != swept().MaxDeliver || attempts[id] > counted) {
			o.miscounted++
		}
	}
	if _, left := stream(t, js); left > 30 {
		o.stuck += left - 30
	}
	return o
}
