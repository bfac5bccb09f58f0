package eventstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/eventstore"
)

// A write to a database and a message about it are two steps, and a process can crash
// between them. Here it crashes at every ninetieth of a thousand changes: eleven are
// stored and never published, or published and never stored. Append is one step.
func TestDualWrite(t *testing.T) {
	type world struct {
		stored, received map[int]bool
		nc               *nats.Conn
		store            *eventstore.Store
	}
	store := func(w *world, i int) { w.stored[i] = true }
	publish := func(w *world, i int) { _ = w.nc.Publish("changes", fmt.Append(nil, i)) }
	add := func(w *world, i int) {
		e, err := eventstore.NewEvent(fmt.Sprint("e-", i), "changed", i)
		if err == nil {
			_, err = w.store.Append(context.Background(), fmt.Sprint("thing-", i), eventstore.Version{}, e)
		}
		w.stored[i] = err == nil
	}
	for _, tc := range []struct {
		name                 string
		steps                []func(*world, int)
		unpublished, phantom int
	}{
		{"stored first: some changes are never published", []func(*world, int){store, publish}, 11, 0},
		{"published first: some published changes are not stored", []func(*world, int){publish, store}, 0, 11},
		{"one append: each stored change is published", []func(*world, int){add}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				w := &world{stored: map[int]bool{}, received: map[int]bool{}, nc: s.Connect("writer"), store: open(t, s.JetStream("events"))}
				subscriber := s.Connect("subscriber")
				sub, err := subscriber.SubscribeSync("changes")
				require.NoError(t, err)
				require.NoError(t, subscriber.Flush())
				feed, err := eventstore.NewSubscription(t.Context(), w.store, eventstore.SubscriptionConfig{New: true})
				require.NoError(t, err)
				time.Sleep(time.Second)
				for i := range 1000 {
					tc.steps[0](w, i)
					if i%90 == 89 {
						continue // crashed; the next process continues with the next change
					}
					for _, step := range tc.steps[1:] {
						step(w, i)
					}
				}
				require.NoError(t, w.nc.Flush())
				time.Sleep(time.Second)
				for n, _, _ := sub.Pending(); n > 0; n-- {
					msg, err := sub.NextMsg(time.Second)
					require.NoError(t, err)
					var i int
					_, err = fmt.Sscan(string(msg.Data), &i)
					require.NoError(t, err)
					w.received[i] = true
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				require.NoError(t, feed.Run(ctx, func(_ context.Context, e eventstore.Event) error {
					var i int
					defer func() { w.received[i] = true }()
					return e.Decode(&i)
				}))
				unpublished, phantom := 0, 0
				for i := range 1000 {
					if w.stored[i] && !w.received[i] {
						unpublished++
					}
					if w.received[i] && !w.stored[i] {
						phantom++
					}
				}
				require.Equal(t, []int{tc.unpublished, tc.phantom}, []int{unpublished, phantom})
			})
		})
	}
}
