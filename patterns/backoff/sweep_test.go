package backoff_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

var histories = flag.Uint64("histories", 3, "fault histories to go through")

// swept is what the sweep holds workers to. No wait is longer than AckWait, 4s, which
// is all that is promised of a message whose worker died.
var swept = backoff.Config{
	Policy: backoff.Policy{First: 200 * time.Millisecond, Ceiling: 3 * time.Second, Jitter: 0.5}, Tries: 6, Long: time.Second,
	Budget:  backoff.Budget{Ratio: 0.2, Burst: 5, Every: 500 * time.Millisecond},
	Breaker: backoff.Breaker{Failures: 3, Wait: backoff.Policy{First: 500 * time.Millisecond, Ceiling: 4 * time.Second, Jitter: 0.5}},
	Timeout: 2 * time.Second, Hands: 2, MaxAckPending: 8,
}

// role takes the messages of the bank until ctx ends: a Worker, or a twin with a bug.
type role func(ctx context.Context, js jetstream.JetStream, handle backoff.Handler)

func worker(cfg backoff.Config) role {
	return func(ctx context.Context, js jetstream.JetStream, handle backoff.Handler) {
		if w, err := backoff.NewWorker(ctx, js, "bank", cfg); err == nil {
			_ = w.Run(ctx, handle) // the sweep judges by what was done
		}
	}
}

func hopeless(id string) bool { return id == "pay-7" || id == "pay-8" }

// span is a time in which the dependency is down.
type span struct{ from, to time.Duration }

// history sends thirty messages, of which two always fail, to two workers, while the
// dependency is down for a while, links are cut, workers die and are replaced, and the
// server restarts.
func history(t *testing.T, seed uint64, run role) (o outcome) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		chance := rand.New(rand.NewPCG(seed, 0))
		within := func(d time.Duration) time.Duration {
			return time.Duration(chance.Int64N(int64(d))).Round(time.Millisecond)
		}
		shop := s.JetStream("shop")
		sender, err := backoff.NewSender(t.Context(), shop, "bank", swept)
		require.NoError(t, err)
		outage := span{from: within(2 * time.Second)}
		outage.to = outage.from + within(20*time.Second)
		down := func(id string, at time.Duration) bool {
			return hopeless(id) || at >= outage.from && at < outage.to
		}
		begin := time.Now()
		var restarts []time.Duration
		var banks []*bank
		var all sync.WaitGroup
		spawn := func() (name string, die func()) {
			name = fmt.Sprint("worker-", len(banks)+1)
			var dead atomic.Bool
			ctx, cancel := context.WithCancel(t.Context())
			b := newBank(20*time.Millisecond, down)
			b.start = begin
			banks = append(banks, b)
			js := s.JetStream(name)
			all.Go(func() {
				run(ctx, js, func(ctx context.Context, msg backoff.Message) error {
					if dead.Load() {
						return context.Canceled // the dead do nothing
					}
					return b.book(ctx, msg)
				})
			})
			time.Sleep(7 * time.Millisecond)
			return name, func() { dead.Store(true); s.Link(name).Down(); cancel() }
		}
		var names [2]string
		var die [2]func()
		for i := range names {
			names[i], die[i] = spawn()
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
				die[i]()
				names[i], die[i] = spawn()
			case 4:
				restarts = append(restarts, time.Since(begin))
				s.Stop()
				time.Sleep(within(3 * time.Second))
				require.NoError(t, s.Start())
			}
		}
		for _, name := range names {
			s.Link(name).Delay(0)
		}
		sending.Wait()
		time.Sleep(time.Minute) // what is under way comes to its end
		die[0]()
		die[1]()
		all.Wait()
		o = judge(t, shop, banks, outage, restarts)
	})
	return o
}

// Whatever is cut, killed or restarted, and however long the dependency is down: each
// message is done, or given up with its tries counted; no wait is too short, and no
// worker calls more often than its budget and its breaker let it.
func TestSweep(t *testing.T) {
	var sum outcome
	for seed := range *histories {
		o := history(t, seed, worker(swept))
		sum.add(o)
		o.calls, o.givenUp = 0, 0
		require.Equal(t, outcome{sent: 30}, o, "seed %d", seed)
	}
	t.Logf("%+v", sum)
}
