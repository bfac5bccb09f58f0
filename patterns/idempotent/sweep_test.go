package idempotent_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

var histories = flag.Uint64("histories", 3, "number of fault histories")

// runHistory runs two workers for twenty messages, with disconnects, server restarts and
// crashes of workers, which are replaced. It returns by ID how often the effect took
// place, and how often a worker crashed or was in doubt between effect and record.
func runHistory(t *testing.T, seed uint64, v variant) (times, doubts map[string]int) {
	doubts = map[string]int{}
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		const n = 20
		db, chance := newDB(t, 1), rand.New(rand.NewPCG(seed, 1))
		newInput(t, s.JetStream("client"), n, jetstream.FileStorage)
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var mu sync.Mutex // guards what follows
		crashesLeft, crashAt := 8, map[string]string{}
		current := map[string]string{} // worker -> name of its connection
		conns := map[string]jetstream.JetStream{}
		for i := range 2 * (crashesLeft + 1) {
			name := fmt.Sprint("ab"[i%2:i%2+1], "-", i/2)
			conns[name] = s.JetStream(name)
		}
		for i := range n {
			crashAt[fmt.Sprint("msg-", i)] = points[chance.IntN(len(points))]
		}
		crashesAt := func(point, id string) bool {
			mu.Lock()
			defer mu.Unlock()
			if crashAt[id] != point || crashesLeft == 0 {
				return false
			}
			delete(crashAt, id)
			crashesLeft--
			if point == afterEffect {
				doubts[id]++
			}
			return true
		}
		var startWorker func(worker string, starts int)
		startWorker = func(worker string, starts int) {
			name := fmt.Sprint(worker, "-", starts)
			js := conns[name]
			mu.Lock()
			current[worker] = name
			mu.Unlock()
			all.Go(func() {
				defer func() {
					if ctx.Err() == nil { // it crashed
						s.Link(name).Down()
						startWorker(worker, starts+1)
					}
				}()
				var once onceFunc
				var cons jetstream.Consumer
				for ctx.Err() == nil {
					var err error
					if once, err = v.open(ctx, js, db, "mailer", config); err == nil {
						if cons, err = js.Consumer(ctx, "IN", "workers"); err == nil {
							break
						}
					}
					time.Sleep(retryDelay)
				}
				if ctx.Err() != nil {
					return
				}
				runWorker(ctx, cons, v, func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
					done, err := once(ctx, id, effect)
					if done && err != nil {
						mu.Lock()
						doubts[id]++
						mu.Unlock()
					}
					return done, err
				}, func(point, id string) {
					time.Sleep(time.Duration(1+seed%9) * 50 * time.Millisecond)
					if crashesAt(point, id) {
						runtime.Goexit()
					}
				})
			})
		}
		startWorker("a", 0)
		time.Sleep(10 * time.Millisecond)
		startWorker("b", 0)
		for range 6 {
			time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
			mu.Lock()
			name := current[[]string{"a", "b"}[chance.IntN(2)]]
			mu.Unlock()
			switch chance.IntN(4) {
			case 0, 1:
				s.Link(name).Cut()
			case 2:
				s.Link(name).Down()
				time.Sleep(time.Duration(chance.IntN(20)) * time.Second)
				s.Link(name).Up()
			case 3:
				s.Stop()
				time.Sleep(time.Duration(chance.IntN(3)) * time.Second)
				require.NoError(t, s.Start())
			}
		}
		time.Sleep(90 * time.Second)
		stop()
		all.Wait()
		times = db.executions()
	})
	return times, doubts
}

// During disconnects, crashes and server restarts, with the record in the transaction the
// effect takes place once. With the record in KV it takes place once, and once more for
// each crash or ErrInDoubt between effect and record. -histories 200 runs more.
func TestSweep(t *testing.T) {
	duplicated := 0
	for seed := range *histories {
		times, _ := runHistory(t, seed, inTx)
		require.Equal(t, violations{}, countViolations(times, 20), "seed %d: %v", seed, times)
		times, doubts := runHistory(t, seed, inKV)
		for i := range 20 {
			id := fmt.Sprint("msg-", i)
			require.GreaterOrEqual(t, times[id], 1, "seed %d: %s", seed, id)
			require.LessOrEqual(t, times[id], 1+doubts[id], "seed %d: %s", seed, id)
			duplicated += times[id] - 1
		}
	}
	t.Logf("in doubt, and repeated: %d of %d", duplicated, *histories*20)
	require.Positive(t, duplicated, "no history repeated an effect")
}

// During disconnects and server restarts each message is stored once. A client that
// retries without an ID stores some twice.
func TestPublishSweep(t *testing.T) {
	var mutant violations
	for seed := range *histories {
		o := runPublishHistory(t, seed, func(ctx context.Context, p *idempotent.Publisher, _ jetstream.JetStream, id string) error {
			_, err := p.Publish(ctx, id, &nats.Msg{Subject: "orders." + id})
			return err
		})
		require.Equal(t, violations{}, o, "seed %d", seed)
		o = runPublishHistory(t, seed, func(ctx context.Context, _ *idempotent.Publisher, js jetstream.JetStream, id string) error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_, err := js.Publish(ctx, "orders."+id, nil)
			return err
		})
		mutant.duplicated += o.duplicated
		mutant.lost += o.lost
	}
	t.Logf("without an ID, of %d: %+v", *histories*20, mutant)
	require.Positive(t, mutant.duplicated)
}

// runPublishHistory runs a client that publishes twenty messages, each until it is
// acknowledged, during disconnects and server restarts.
func runPublishHistory(t *testing.T, seed uint64, publish func(context.Context, *idempotent.Publisher, jetstream.JetStream, string) error) (v violations) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		chance := rand.New(rand.NewPCG(seed, 2))
		js := s.JetStream("client")
		stream, p := newOutput(t, js, jetstream.LimitsPolicy)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := range 20 {
				for publish(t.Context(), p, js, fmt.Sprint("msg-", i)) != nil {
					time.Sleep(retryDelay)
				}
				time.Sleep(retryDelay)
			}
		}()
		s.Link("client").Delay(10 * time.Millisecond)
		for range 8 {
			time.Sleep(time.Duration(chance.IntN(400)) * time.Millisecond)
			switch chance.IntN(4) {
			case 0, 1:
				s.Link("client").Cut()
			case 2:
				s.Link("client").Down()
				time.Sleep(time.Duration(chance.IntN(10)) * time.Second)
				s.Link("client").Up()
			case 3:
				s.Stop()
				time.Sleep(time.Duration(chance.IntN(3)) * time.Second)
				require.NoError(t, s.Start())
			}
		}
		<-ended
		time.Sleep(5 * time.Second)
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		require.NoError(t, err)
		times := map[string]int{}
		for subject, n := range info.State.Subjects {
			times[strings.TrimPrefix(subject, "orders.")] = int(n)
		}
		v = countViolations(times, 20)
	})
	return v
}
