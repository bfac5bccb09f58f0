package eventstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

var histories = flag.Uint64("histories", 6, "number of fault histories")

// client is a writer's store and its own connection.
type client struct {
	*eventstore.Store
	js jetstream.JetStream
}

// appender is Append, or a mutant of it.
type appender func(s client, ctx context.Context, id string, at eventstore.Version, events ...eventstore.Event) (eventstore.Version, error)

// acked is an append that was confirmed to a writer.
type acked struct {
	entity string
	from   uint64 // the version of the first
	ids    []string
}

// Histories of three writers to two entities, with disconnects, delays and server
// restarts: each acknowledged event is stored once, at its version, and a subscriber
// receives all events in order.
func TestFaults(t *testing.T) {
	for seed := range *histories {
		if err := simulate(t, seed, client.Append); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func simulate(t *testing.T, seed uint64, do appender) (broken error) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		cfg := eventstore.Config{Storage: jetstream.MemoryStorage} // fast: every batch on file is an fsync
		if seed%4 == 0 {
			cfg.Storage = jetstream.FileStorage
		}
		var stores []client
		for i := range 4 {
			js := s.JetStream(fmt.Sprint("client-", i))
			store, err := eventstore.New(ctx, js, "accounts", cfg)
			require.NoError(t, err)
			stores = append(stores, client{store, js})
		}
		sub, err := eventstore.NewSubscription(ctx, stores[3].Store, eventstore.SubscriptionConfig{Durable: "check", AckWait: time.Second})
		require.NoError(t, err)
		var wg sync.WaitGroup
		subCtx, stop := context.WithTimeout(t.Context(), 12*time.Second)
		defer stop()
		received := map[string][]eventstore.Event{}
		var subErr error
		wg.Go(func() {
			subErr = sub.Run(subCtx, func(_ context.Context, e eventstore.Event) error {
				if all := received[e.Entity]; len(all) == 0 || all[len(all)-1].Version != e.Version { // it can be redelivered
					received[e.Entity] = append(all, e)
				}
				return nil
			})
		})
		wg.Go(func() {
			names := []string{"client-0", "client-1", "client-2", "client-3"}
			s.InjectFaults(ctx, rand.New(rand.NewPCG(seed, 0)), names, 700*time.Millisecond, cfg.Storage == jetstream.FileStorage)
		})
		done := make([][]acked, 3)
		for w := range done {
			wg.Go(func() { done[w] = write(ctx, w, stores[w], rand.New(rand.NewPCG(seed, uint64(w)+1)), do) })
		}
		wg.Wait()
		broken = subErr
		var all []acked
		for _, d := range done {
			all = append(all, d...)
		}
		broken = errors.Join(broken, verify(t.Context(), stores[3].Store, all, received))
	})
	return broken
}

func write(ctx context.Context, w int, store client, r *rand.Rand, do appender) (done []acked) {
	at := map[string]eventstore.Version{}
	for n := 0; ctx.Err() == nil; n++ {
		a := acked{entity: fmt.Sprint("account-", r.IntN(2))}
		var events []eventstore.Event
		for i := range 1 + r.IntN(3) {
			e, err := eventstore.NewEvent(fmt.Sprintf("w%d-%d-%d", w, n, i), "deposited", nil)
			if err != nil {
				panic(err)
			}
			a.ids, events = append(a.ids, e.ID), append(events, e)
		}
		for ctx.Err() == nil { // until the outcome is known
			try, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
			a.from = at[a.entity].N + 1
			v, err := do(store, try, a.entity, at[a.entity], events...)
			cancel()
			var c *eventstore.Conflict
			if errors.As(err, &c) {
				at[a.entity] = c.Actual
				break
			}
			if err == nil {
				a.from, at[a.entity] = v.N-uint64(len(events))+1, v
				done = append(done, a)
				break
			}
		}
		time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
	}
	return done
}
