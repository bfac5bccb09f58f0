package durable_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

var histories = flag.Uint64("histories", 3, "fault histories to run")

// sender publishes a message every 100 ms, and returns the IDs that it considers stored. It
// is Publish, a Publisher, or a mutant.
type sender func(ctx context.Context, js jetstream.JetStream, ids []string) (confirmed []string)

// receiver calls handle for the messages of the topic orders until ctx ends.
type receiver func(ctx context.Context, js jetstream.JetStream, handle durable.Handler)

// each publishes the messages one after the other.
func each(put func(ctx context.Context, js jetstream.JetStream, id string) error) sender {
	return func(ctx context.Context, js jetstream.JetStream, ids []string) (confirmed []string) {
		for _, id := range ids {
			if put(ctx, js, id) == nil {
				confirmed = append(confirmed, id)
			}
			time.Sleep(100 * time.Millisecond)
		}
		return confirmed
	}
}

var oneByOne = each(func(ctx context.Context, js jetstream.JetStream, id string) error {
	_, err := durable.Publish(ctx, js, "orders", id, none)
	return err
})

func pipelined(ctx context.Context, js jetstream.JetStream, ids []string) []string {
	p, err := durable.NewPublisher(ctx, js, "orders", durable.Config{MaxInFlight: 10})
	if err != nil {
		return nil
	}
	sent := each(func(ctx context.Context, _ jetstream.JetStream, id string) error { return p.Send(ctx, id, none) })(ctx, js, ids)
	if p.Close(ctx) != nil {
		return nil
	}
	return sent
}

// resumes is a Subscriber.
func resumes(ctx context.Context, js jetstream.JetStream, handle durable.Handler) {
	if sub, err := durable.NewSubscriber(ctx, js, "orders", "desk", durable.Config{}); err == nil {
		_ = sub.Run(ctx, handle) // the sweep checks what was handled
	}
}

// outcome counts the messages of a history, and the violations of the guarantees.
type outcome struct{ confirmed, lost, duplicates, unhandled, reordered int }

func (o *outcome) add(p outcome) {
	o.confirmed += p.confirmed
	o.lost += p.lost
	o.duplicates += p.duplicates
	o.unhandled += p.unhandled
	o.reordered += p.reordered
}

// history publishes thirty messages for a subscriber, while connections break, the
// subscriber crashes and is replaced, and the server restarts.
func history(t *testing.T, seed uint64, send sender, receive receiver) (o outcome) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		chance := rand.New(rand.NewPCG(seed, 0))
		shop := s.JetStream("shop")
		require.NoError(t, durable.Provision(t.Context(), shop, "orders", []string{"desk"}, durable.Config{}))
		var done recorder
		var all sync.WaitGroup
		spawned := 0
		spawn := func() (name string, crash func()) {
			spawned++
			name = fmt.Sprint("desk-", spawned)
			var crashed atomic.Bool
			ctx, cancel := context.WithCancel(t.Context())
			js := s.JetStream(name)
			all.Go(func() {
				receive(ctx, js, func(_ context.Context, msg durable.Message) error {
					time.Sleep(time.Duration(20+len(msg.ID)) * time.Millisecond)
					if crashed.Load() {
						return context.Canceled // a crashed process has no effect
					}
					return done.handle(ctx, msg)
				})
			})
			return name, func() { crashed.Store(true); s.Link(name).Down(); cancel() }
		}
		name, crash := spawn()
		ids := numbered(1, 30)
		var confirmed []string
		var sending sync.WaitGroup
		sending.Go(func() { confirmed = send(t.Context(), shop, ids) })
		for range 6 {
			time.Sleep(time.Duration(chance.IntN(700)) * time.Millisecond)
			link := s.Link([]string{"shop", name}[chance.IntN(2)])
			switch chance.IntN(5) {
			case 0:
				link.Cut()
			case 1:
				link.Down()
				time.Sleep(time.Duration(chance.IntN(3000)) * time.Millisecond)
				link.Up()
			case 2:
				link.Delay(time.Duration(chance.IntN(200)) * time.Millisecond)
			case 3:
				crash()
				name, crash = spawn()
			case 4: // often between a publish and its ack
				s.Link("shop").Delay(60 * time.Millisecond)
				time.Sleep(100 * time.Millisecond)
				s.Link("shop").Delay(0)
				s.Stop()
				time.Sleep(time.Duration(chance.IntN(3)) * time.Second)
				require.NoError(t, s.Start())
			}
		}
		s.Link("shop").Delay(0)
		s.Link(name).Delay(0)
		sending.Wait()
		time.Sleep(100 * time.Second) // until every retry and redelivery is over
		crash()
		all.Wait()
		o = check(confirmed, stored(t, shop), done.ids())
	})
	return o
}

// check compares the confirmed messages with the stored and the handled ones.
func check(confirmed, stored, handled []string) (o outcome) {
	o.confirmed = len(confirmed)
	at, wasHandled := map[string]int{}, map[string]bool{}
	for i, id := range stored {
		if _, ok := at[id]; ok {
			o.duplicates++
		}
		at[id] = i
	}
	for _, id := range handled {
		wasHandled[id] = true
	}
	for _, id := range confirmed {
		if _, ok := at[id]; !ok {
			o.lost++
		} else if !wasHandled[id] {
			o.unhandled++
		}
	}
	for i := 1; i < len(handled); i++ { // the same message again, or the next one
		if d := at[handled[i]] - at[handled[i-1]]; d < 0 || d > 1 {
			o.reordered++
		}
	}
	return o
}

// During disconnects, crashes and restarts, each confirmed message is stored once and
// handled at least once, and the subscriber continues where it stopped.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		for name, send := range map[string]sender{"one after the other": oneByOne, "pipelined": pipelined} {
			o := history(t, seed, send, resumes)
			require.Equal(t, outcome{confirmed: 30}, o, "%s, seed %d", name, seed)
		}
	}
}
