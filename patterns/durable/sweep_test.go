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

var histories = flag.Uint64("histories", 3, "fault histories to go through")

// sender publishes the ids, one each 100ms, and returns those it believes stored. It
// is Publish, a Publisher, or a twin of them with a bug.
type sender func(ctx context.Context, js jetstream.JetStream, ids []string) (believed []string)

// receiver calls handle for the messages of "orders" until ctx ends.
type receiver func(ctx context.Context, js jetstream.JetStream, handle durable.Handler)

// each publishes one after the other.
func each(put func(ctx context.Context, js jetstream.JetStream, id string) error) sender {
	return func(ctx context.Context, js jetstream.JetStream, ids []string) (believed []string) {
		for _, id := range ids {
			if put(ctx, js, id) == nil {
				believed = append(believed, id)
			}
			time.Sleep(100 * time.Millisecond)
		}
		return believed
	}
}

var confirmed = each(func(ctx context.Context, js jetstream.JetStream, id string) error {
	_, err := durable.Publish(ctx, js, "orders", id, none)
	return err
})

func pipelined(ctx context.Context, js jetstream.JetStream, ids []string) []string {
	p, err := durable.NewPublisher(ctx, js, "orders", durable.Config{Window: 10})
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
		_ = sub.Run(ctx, handle) // the sweep judges by what was done
	}
}

type outcome struct{ believed, lost, twice, unread, leapt int }

func (o *outcome) add(p outcome) {
	o.believed, o.lost, o.twice, o.unread, o.leapt = o.believed+p.believed, o.lost+p.lost, o.twice+p.twice, o.unread+p.unread, o.leapt+p.leapt
}

// history sends thirty messages to a subscriber, while links are cut, the
// subscriber dies and is replaced, and the server restarts.
func history(t *testing.T, seed uint64, send sender, receive receiver) (o outcome) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		chance := rand.New(rand.NewPCG(seed, 0))
		shop := s.JetStream("shop")
		require.NoError(t, durable.Provision(t.Context(), shop, "orders", []string{"desk"}, durable.Config{}))
		var done ledger
		var all sync.WaitGroup
		born := 0
		spawn := func() (name string, die func()) {
			born++
			name = fmt.Sprint("desk-", born)
			var dead atomic.Bool
			ctx, cancel := context.WithCancel(t.Context())
			js := s.JetStream(name)
			all.Go(func() {
				receive(ctx, js, func(_ context.Context, msg durable.Message) error {
					time.Sleep(time.Duration(20+len(msg.ID)) * time.Millisecond)
					if dead.Load() {
						return context.Canceled // the dead do nothing
					}
					return done.did(ctx, msg)
				})
			})
			return name, func() { dead.Store(true); s.Link(name).Down(); cancel() }
		}
		name, die := spawn()
		ids := numbered(1, 30)
		var believed []string
		var sending sync.WaitGroup
		sending.Go(func() { believed = send(t.Context(), shop, ids) })
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
				die()
				name, die = spawn()
			case 4: // between the publish and its ack, as likely as not
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
		time.Sleep(100 * time.Second) // what is under way comes to its end
		die()
		all.Wait()
		o = judge(believed, stored(t, shop), done.ids())
	})
	return o
}

// judge compares what the sender believes stored with what is, and with what was done.
func judge(believed, stored, done []string) (o outcome) {
	o.believed = len(believed)
	at, was := map[string]int{}, map[string]bool{}
	for i, id := range stored {
		if _, ok := at[id]; ok {
			o.twice++
		}
		at[id] = i
	}
	for _, id := range done {
		was[id] = true
	}
	for _, id := range believed {
		if _, ok := at[id]; !ok {
			o.lost++
		} else if !was[id] {
			o.unread++
		}
	}
	for i := 1; i < len(done); i++ { // again the one in hand, or else the next
		if d := at[done[i]] - at[done[i-1]]; d < 0 || d > 1 {
			o.leapt++
		}
	}
	return o
}

// Whatever is cut, killed or restarted: all that was confirmed is stored, once, and
// done at least once, and the subscriber goes on where it stopped.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		for name, send := range map[string]sender{"one after the other": confirmed, "pipelined": pipelined} {
			o := history(t, seed, send, resumes)
			require.Equal(t, outcome{believed: 30}, o, "%s, seed %d", name, seed)
		}
	}
}
