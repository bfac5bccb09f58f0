package streaming_test

import (
	"context"
	"encoding/json"
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
	"github.com/natspatterns/catalog/patterns/streaming"
)

var histories = flag.Uint64("histories", 8, "seeded histories of each sweep")

// process runs a processor until ctx ends or another one takes over.
type process func(ctx context.Context, js jetstream.JetStream, cfg streaming.Config) error

func correct(ctx context.Context, js jetstream.JetStream, cfg streaming.Config) error {
	p, err := streaming.NewProcessor(ctx, js, "tea", list, cfg)
	if err != nil {
		return nil // it was stopped or disconnected before it began
	}
	return p.Run(ctx)
}

// stateless is a mutant: it keeps windows in memory only, and acks each event when it is
// added to a window.
func stateless(ctx context.Context, js jetstream.JetStream, _ streaming.Config) error {
	cons, err := js.CreateOrUpdateConsumer(ctx, "FEED_tea", jetstream.ConsumerConfig{Durable: "naive", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second})
	if err != nil {
		return nil
	}
	open := map[string]*streaming.Result[names]{}
	c, err := cons.Consume(func(msg jetstream.Msg) {
		var ev reading
		if ctx.Err() != nil || json.Unmarshal(msg.Data(), &ev) != nil {
			return
		}
		meta, err := msg.Metadata()
		if err != nil {
			return
		}
		key := strings.TrimPrefix(msg.Subject(), "feed.tea.")
		from := meta.Timestamp.Truncate(2 * time.Second)
		if w := open[key]; w != nil && w.From.Before(from) {
			data, _ := json.Marshal(w)
			if _, err := js.Publish(ctx, "results.tea."+key, data); err != nil {
				return
			}
			delete(open, key)
		}
		if open[key] == nil {
			open[key] = &streaming.Result[names]{Key: key, From: from, To: from.Add(2 * time.Second)}
		}
		open[key].Count++
		open[key].Value = append(open[key].Value, ev.Name)
		_ = msg.Ack()
	})
	if err == nil {
		<-ctx.Done()
		c.Stop()
		<-c.Closed()
	}
	return nil
}

// history sends thirty events of three keys to a processor, while connections break,
// processors crash or are fenced, and the server restarts. It returns the violations.
func history(t *testing.T, seed uint64, work process) (violations []string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("sender")
		cfg, restarts := short, seed%4 == 0
		if !restarts { // memory is about thirty times faster
			cfg.Storage = jetstream.MemoryStorage
		}
		require.NoError(t, streaming.Provision(t.Context(), js, "tea", cfg))
		chance := rand.New(rand.NewPCG(seed, 0))
		var all sync.WaitGroup
		started := 0
		spawn := func() (name string, kill func()) {
			started++
			name = fmt.Sprint("processor-", started)
			ctx, cancel := context.WithCancel(t.Context())
			js := s.JetStream(name)
			all.Go(func() { _ = work(ctx, js, cfg) }) // fenced or stopped
			return name, cancel
		}
		name, kill := spawn()
		kills := []func(){kill}
		all.Go(func() {
			for i := range 30 {
				for ctx := t.Context(); ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
					ev := streaming.Event[reading]{ID: fmt.Sprint("e-", i), Key: fmt.Sprint("pot-", i%3), Value: reading{fmt.Sprint("e-", i)}}
					if streaming.Send(ctx, js, "tea", ev) == nil {
						break
					}
				}
				if i%3 == 2 {
					time.Sleep(1200 * time.Millisecond)
				}
			}
		})
		for range 5 {
			time.Sleep(time.Duration(chance.IntN(2500)) * time.Millisecond)
			switch chance.IntN(5) {
			case 0:
				s.Link(name).Cut()
			case 1:
				s.Link(name).Down() // it reconnects after another one has taken over
				old := name
				name, kill = spawn()
				kills = append(kills, kill)
				time.Sleep(time.Duration(chance.IntN(3000)) * time.Millisecond)
				s.Link(old).Up()
			case 2:
				s.Link(name).Down()
				time.Sleep(time.Duration(chance.IntN(9000)) * time.Millisecond)
				s.Link(name).Up()
			case 3:
				if chance.IntN(2) == 0 { // otherwise its last commit may still arrive
					s.Link(name).Down()
				}
				kill()
				name, kill = spawn()
				kills = append(kills, kill)
			case 4:
				if !restarts {
					s.Link(name).Cut()
					continue
				}
				s.Stop()
				time.Sleep(time.Duration(chance.IntN(2000)) * time.Millisecond)
				require.NoError(t, s.Start())
			}
		}
		time.Sleep(40 * time.Second)
		for _, key := range []string{"pot-0", "pot-1", "pot-2"} { // the mutant closes windows only then
			send(t, js, key, "end", time.Time{})
		}
		time.Sleep(20 * time.Second)
		times := map[string]int{}
		for _, line := range outcomes(t, js) {
			in := strings.Fields(line)[2:]
			if len(in) == 0 {
				violations = append(violations, fmt.Sprintf("seed %d: an empty window was closed: %s", seed, line))
			}
			for _, name := range in {
				times[name]++
			}
		}
		for i := range 30 {
			if n := times[fmt.Sprint("e-", i)]; n != 1 {
				violations = append(violations, fmt.Sprintf("seed %d: e-%d counts %d times", seed, i, n))
			}
		}
		for _, kill := range kills {
			kill()
		}
		all.Wait()
	})
	return violations
}

// Each event counts once, during disconnects, crashes, fencing and restarts.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		require.Empty(t, history(t, seed, correct))
	}
}

// The same faults find the mutant.
func TestSweepFindsStateless(t *testing.T) {
	for seed := range *histories {
		if len(history(t, seed, stateless)) > 0 {
			return
		}
	}
	t.Fatal("no event was lost or duplicated by a processor without stored state")
}
