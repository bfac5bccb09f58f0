package sequence_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sequence"
)

var histories = flag.Uint64("histories", 3, "fault histories to go through")

// process is a resequencer of PAGES until ctx ends.
type process func(ctx context.Context, js jetstream.JetStream, storage jetstream.StorageType)

func honest(ctx context.Context, js jetstream.JetStream, storage jetstream.StorageType) {
	cfg := sequence.Config{Buffer: 8, GapTimeout: time.Second, Storage: storage, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for ctx.Err() == nil {
		r, err := sequence.NewResequencer(ctx, js, "PAGES", "book", cfg)
		if err == nil {
			err = r.Run(ctx)
		}
		if err != nil {
			time.Sleep(100 * time.Millisecond) // it can start during a disconnect
		}
	}
}

// ackFirst acknowledges before it publishes: a crash loses the messages in memory.
func ackFirst(ctx context.Context, js jetstream.JetStream, _ jetstream.StorageType) {
	naive(ctx, js, true)
}

// asTheyCome publishes in the order of arrival.
func asTheyCome(ctx context.Context, js jetstream.JetStream, _ jetstream.StorageType) {
	naive(ctx, js, false)
}

func naive(ctx context.Context, js jetstream.JetStream, sort bool) {
	cons, err := js.Consumer(ctx, "PAGES", "sequence-book")
	if err != nil {
		return
	}
	next, held := map[string]uint64{}, map[string]map[uint64]*nats.Msg{}
	var mu sync.Mutex
	c, err := cons.Consume(func(m jetstream.Msg) {
		mu.Lock()
		defer mu.Unlock()
		p, _ := sequence.At(m.Headers())
		if held[p.ID] == nil {
			held[p.ID], next[p.ID] = map[uint64]*nats.Msg{}, 1
		}
		_ = m.Ack()
		held[p.ID][p.Number] = &nats.Msg{Subject: "sequence.book." + p.ID, Header: nats.Header{sequence.HeaderID: {p.ID}, sequence.HeaderNumber: {fmt.Sprint(p.Number)}}}
		if !sort {
			next[p.ID] = p.Number
		}
		for out := held[p.ID][next[p.ID]]; out != nil; out = held[p.ID][next[p.ID]] {
			_ = js.Conn().PublishMsg(out)
			delete(held[p.ID], next[p.ID])
			next[p.ID]++
		}
	})
	if err == nil {
		<-ctx.Done()
		c.Stop()
		<-c.Closed()
	}
}

// history publishes three books page by page, shuffled, and some pages twice, during
// disconnects, crashes of the resequencer and restarts of the server. It returns the
// violations found after the faults.
func history(t *testing.T, seed uint64, work process) (violations string) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, storage, restarts := s.JetStream("sender"), jetstream.MemoryStorage, 0
		if seed%4 == 0 { // slower
			storage, restarts = jetstream.FileStorage, 2
		}
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "PAGES", Subjects: []string{"pages.>"}, Storage: storage})
		require.NoError(t, err)
		_, err = sequence.NewResequencer(t.Context(), js, "PAGES", "book", sequence.Config{Buffer: 8, GapTimeout: time.Second, Storage: storage})
		require.NoError(t, err)
		chance := rand.New(rand.NewPCG(seed, 0))
		var all sync.WaitGroup
		born, name, die := 0, "", context.CancelFunc(nil)
		spawn := func() {
			born++
			name = fmt.Sprint("reseq-", born)
			var ctx context.Context
			ctx, die = context.WithCancel(t.Context())
			mine := s.JetStream(name)
			all.Go(func() { work(ctx, mine, storage) })
		}
		spawn()
		var pages []sequence.Position
		for _, id := range []string{"a", "b", "c"} {
			for n := range uint64(12) {
				pages = append(pages, sequence.Position{ID: id, Number: n + 1, Last: n == 11})
			}
		}
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(pages), func(i, j int) { pages[i], pages[j] = pages[j], pages[i] })
		all.Go(func() {
			for i, p := range append(pages, pages[:10]...) {
				m := nats.NewMsg("pages." + p.ID)
				if sequence.Stamp(m, p) != nil {
					return
				}
				if i >= len(pages) {
					m.Header.Del(jetstream.MsgIDHeader)
				}
				for ctx := t.Context(); ctx.Err() == nil; time.Sleep(70 * time.Millisecond) {
					if _, err := js.PublishMsg(ctx, m); err == nil {
						break
					}
				}
				time.Sleep(240 * time.Millisecond)
			}
		})
		for range 8 {
			time.Sleep(time.Duration(chance.IntN(1200)) * time.Millisecond)
			switch chance.IntN(5 + restarts) {
			case 0:
				s.Link(name).Cut()
			case 1:
				s.Link("sender").Cut()
			case 2:
				s.Link(name).Down()
				time.Sleep(time.Duration(chance.IntN(5000)) * time.Millisecond)
				s.Link(name).Up()
			case 3, 4:
				s.Link(name).Down() // it crashes
				die()
				spawn()
			default:
				s.Stop()
				time.Sleep(time.Duration(chance.IntN(2000)) * time.Millisecond)
				require.NoError(t, s.Start())
			}
		}
		time.Sleep(70 * time.Second) // the messages of crashed processes are redelivered after 30 s
		for _, id := range []string{"a", "b", "c"} {
			_, at := ordered(t, js, id)
			for i, p := range at {
				if p.Number != uint64(i)+1 {
					violations += fmt.Sprintf("%s: page %d in place of %d\n", id, p.Number, i+1)
					break
				}
			}
			if len(at) != 12 {
				violations += fmt.Sprintf("%s: %d of 12 pages\n", id, len(at))
			}
		}
		die()
		all.Wait()
	})
	return violations
}

// During disconnects, crashes and restarts, each sequence is published whole, once and in
// order. The seed of a failing history is printed.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		if violations := history(t, seed, honest); violations != "" {
			t.Fatalf("seed %d: %s", seed, violations)
		}
	}
}

func TestSweepFindsMutants(t *testing.T) {
	for name, mutant := range map[string]process{"ack first": ackFirst, "order of arrival": asTheyCome} {
		found := 0
		for seed := range uint64(5) {
			if history(t, seed, mutant) != "" {
				found++
			}
		}
		t.Logf("%s: found in %d of 5 histories", name, found)
		require.Greater(t, found, 1, name)
	}
}
