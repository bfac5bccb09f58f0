package idempotent_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

var histories = flag.Uint64("histories", 3, "fault histories to go through")

// history has two workers send twenty letters while links are cut, workers die
// where it hurts and are replaced, and the server restarts. It returns how often
// each was sent, and how often a worker died, or was in doubt, after it had sent it
// and before that was on record.
func history(t *testing.T, seed uint64, f form) (times, doubts map[string]int) {
	doubts = map[string]int{}
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		const n = 20
		w, chance := newWorld(t, 1), rand.New(rand.NewPCG(seed, 1))
		inbox(t, s.JetStream("client"), n, jetstream.FileStorage)
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var mu sync.Mutex // guards what follows, and is held for no time
		deaths, doomed := 8, map[string]string{}
		alive := map[string]string{} // by side, the name of its connection
		conns := map[string]jetstream.JetStream{}
		for i := range 2 * (deaths + 1) {
			name := fmt.Sprint("ab"[i%2:i%2+1], "-", i/2)
			conns[name] = s.JetStream(name)
		}
		for i := range n {
			doomed[fmt.Sprint("letter-", i)] = points[chance.IntN(len(points))]
		}
		dies := func(point, id string) bool {
			mu.Lock()
			defer mu.Unlock()
			if doomed[id] != point || deaths == 0 {
				return false
			}
			delete(doomed, id)
			deaths--
			if point == afterEffect {
				doubts[id]++
			}
			return true
		}
		var life func(name string, born int)
		life = func(side string, born int) {
			name := fmt.Sprint(side, "-", born)
			js := conns[name]
			mu.Lock()
			alive[side] = name
			mu.Unlock()
			all.Go(func() {
				defer func() {
					if ctx.Err() == nil { // it died
						s.Link(name).Down()
						life(side, born+1)
					}
				}()
				var post receive
				var cons jetstream.Consumer
				for ctx.Err() == nil {
					var err error
					if post, err = f.open(ctx, js, w, "post", soon); err == nil {
						if cons, err = js.Consumer(ctx, "IN", "post"); err == nil {
							break
						}
					}
					time.Sleep(pause)
				}
				if ctx.Err() != nil {
					return
				}
				work(ctx, cons, f, func(ctx context.Context, id string, effect func(execer) error) (bool, error) {
					done, err := post(ctx, id, effect)
					if done && err != nil {
						mu.Lock()
						doubts[id]++
						mu.Unlock()
					}
					return done, err
				}, func(point, id string) {
					time.Sleep(time.Duration(1+seed%9) * 50 * time.Millisecond)
					if dies(point, id) {
						runtime.Goexit()
					}
				})
			})
		}
		life("a", 0)
		time.Sleep(10 * time.Millisecond)
		life("b", 0)
		for range 6 {
			time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
			mu.Lock()
			who := alive[[]string{"a", "b"}[chance.IntN(2)]]
			mu.Unlock()
			switch chance.IntN(4) {
			case 0, 1:
				s.Link(who).Cut()
			case 2:
				s.Link(who).Down()
				time.Sleep(time.Duration(chance.IntN(20)) * time.Second)
				s.Link(who).Up()
			case 3:
				s.Stop()
				time.Sleep(time.Duration(chance.IntN(3)) * time.Second)
				require.NoError(t, s.Start())
			}
		}
		time.Sleep(90 * time.Second)
		stop()
		all.Wait()
		times = w.sent()
	})
	return times, doubts
}

// Whatever is cut, killed or restarted: the record in the transaction has one
// effect for each message, and the record in KV one, and one more for each time
// that a worker died or was in doubt between the two.
func TestSweep(t *testing.T) {
	doubled := 0
	for seed := range *histories {
		times, _ := history(t, seed, inTx)
		require.Equal(t, outcome{}, judge(times, 20), "seed %d: %v", seed, times)
		times, doubts := history(t, seed, inKV)
		for i := range 20 {
			id := fmt.Sprint("letter-", i)
			require.GreaterOrEqual(t, times[id], 1, "seed %d: %s", seed, id)
			require.LessOrEqual(t, times[id], 1+doubts[id], "seed %d: %s", seed, id)
			doubled += times[id] - 1
		}
	}
	t.Logf("in doubt, and repeated: %d of %d", doubled, *histories*20)
	require.Positive(t, doubled, "what is not promised was not tried")
}

// The same check catches the wrong ways.
func TestSweepTwins(t *testing.T) {
	for _, c := range []struct {
		form   form
		caught outcome
	}{{naive, outcome{doubled: 1}}, {recordAfter, outcome{doubled: 1}}, {claimFirst, outcome{lost: 1}}, {ackFirst, outcome{lost: 1}}} {
		t.Run(c.form.name, func(t *testing.T) {
			var o outcome
			letters := 0
			for seed := uint64(0); seed < *histories && (*histories > 10 || o.doubled < c.caught.doubled || o.lost < c.caught.lost); seed++ {
				times, _ := history(t, seed, c.form)
				one := judge(times, 20)
				o.doubled, o.lost = o.doubled+one.doubled, o.lost+one.lost
				letters += 20
			}
			t.Logf("of %d: %+v", letters, o)
			require.Equal(t, c.caught, outcome{min(o.doubled, c.caught.doubled), min(o.lost, c.caught.lost)})
		})
	}
}

// Whatever is cut or restarted while a client publishes, each message is stored
// once; a client that tries again without an id stores some twice.
func TestPublishSweep(t *testing.T) {
	var twin outcome
	for seed := range *histories {
		o := publishes(t, seed, func(ctx context.Context, p *idempotent.Publisher, _ jetstream.JetStream, id string) error {
			_, err := p.Publish(ctx, id, &nats.Msg{Subject: "letters." + id})
			return err
		})
		require.Equal(t, outcome{}, o, "seed %d", seed)
		o = publishes(t, seed, func(ctx context.Context, _ *idempotent.Publisher, js jetstream.JetStream, id string) error {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_, err := js.Publish(ctx, "letters."+id, nil)
			return err
		})
		twin.doubled += o.doubled
		twin.lost += o.lost
	}
	t.Logf("without an id, of %d: %+v", *histories*20, twin)
	require.Positive(t, twin.doubled)
}
