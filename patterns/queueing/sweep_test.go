package queueing_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

var histories = flag.Uint64("histories", 6, "fault histories to go through")

// worker calls handle for the jobs of "mail" until ctx ends.
type worker func(ctx context.Context, js jetstream.JetStream, handle queueing.Handler)

func correct(ctx context.Context, js jetstream.JetStream, handle queueing.Handler) {
	w, err := queueing.NewWorker(ctx, js, "mail", queueing.Config{Concurrency: 2, Prefetch: 2, MaxDeliver: 50, Grace: time.Second})
	if err == nil {
		_ = w.Run(ctx, handle) // the sweep checks the handled jobs
	}
}

// ackFirst is a mutant: it acks before it handles the job.
func ackFirst(ctx context.Context, js jetstream.JetStream, handle queueing.Handler) {
	cons, err := js.Consumer(ctx, "JOBS_mail", "workers")
	if err != nil {
		return
	}
	c, err := cons.Consume(func(msg jetstream.Msg) {
		_ = msg.Ack()
		_ = handle(ctx, queueing.Message{Subject: msg.Subject(), Data: msg.Data()})
	}, jetstream.PullMaxMessages(4), jetstream.PullPriorityGroup("workers"))
	if err == nil {
		<-ctx.Done()
		c.Stop()
		<-c.Closed()
	}
}

// history sends thirty jobs, every fifth of them poison, to two workers, with
// disconnects, crashed workers and server restarts. It returns the violations of the
// guarantee.
func history(t *testing.T, seed uint64, work worker) (violations []string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s)
		chance := rand.New(rand.NewPCG(seed, 0))
		var done ledger
		var all sync.WaitGroup
		started := 0
		start := func() (name string, crash func()) {
			started++
			name = fmt.Sprint("worker-", started)
			var crashed atomic.Bool
			ctx, cancel := context.WithCancel(t.Context())
			js := s.JetStream(name)
			all.Go(func() {
				work(ctx, js, func(_ context.Context, msg queueing.Message) error {
					time.Sleep(time.Duration(len(msg.Subject)+int(seed%7)) * 20 * time.Millisecond)
					if crashed.Load() {
						return context.Canceled // it has crashed
					}
					if strings.HasSuffix(msg.Subject, "0") || strings.HasSuffix(msg.Subject, "5") {
						return queueing.ErrPoison
					}
					return done.did(msg, 0)
				})
			})
			return name, func() { crashed.Store(true); s.Link(name).Down(); cancel() }
		}
		var names [2]string
		var crash [2]func()
		for i := range names {
			names[i], crash[i] = start()
		}
		all.Go(func() {
			for i := range 30 {
				for ctx := t.Context(); ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
					if _, err := queueing.Send(ctx, sc.js, "mail", fmt.Sprint("job-", i), &nats.Msg{}); err == nil {
						break
					}
				}
			}
		})
		for range 6 {
			time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
			switch i := chance.IntN(2); chance.IntN(5) {
			case 0:
				s.Link(names[i]).Cut()
			case 1:
				s.Link("client").Cut()
			case 2:
				s.Link(names[i]).Down()
				time.Sleep(time.Duration(chance.IntN(40)) * time.Second)
				s.Link(names[i]).Up()
			case 3:
				crash[i]()
				names[i], crash[i] = start()
			case 4:
				s.Stop()
				time.Sleep(time.Duration(chance.IntN(3)) * time.Second)
				require.NoError(t, s.Start())
			}
		}
		time.Sleep(3 * time.Minute)
		times := done.count()
		for i := range 30 {
			id := fmt.Sprint("job-", i)
			o, err := queueing.Check(t.Context(), sc.js, "mail", id)
			require.NoError(t, err)
			want, n := queueing.Done, times["jobs.mail."+id]
			if i%5 == 0 {
				want = queueing.Failed
			}
			switch {
			case o.State != want:
				violations = append(violations, fmt.Sprintf("seed %d: %s is %s, not %s", seed, id, o.State, want))
			case want == queueing.Done && n == 0:
				violations = append(violations, fmt.Sprintf("seed %d: %s is lost", seed, id))
			}
		}
		crash[0]()
		crash[1]()
		all.Wait()
	})
	return violations
}

// During disconnects, crashes and restarts each job is handled at least once, or is
// stored as failed.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		require.Empty(t, history(t, seed, correct))
	}
}

// The same faults lose jobs of a worker that acks first.
func TestSweepFindsAckFirst(t *testing.T) {
	for seed := range *histories {
		for _, what := range history(t, seed, ackFirst) {
			if strings.HasSuffix(what, " is lost") {
				return // lost
			}
		}
	}
	t.Fatal("no job was lost by a worker that acks first")
}
