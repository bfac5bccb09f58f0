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

// A write to a database and a message about it are two steps, and between two
// steps a process can die. Here it dies at every ninetieth of a thousand changes:
// eleven are stored and never told, or told and never stored. An event that is its
// own notice has no between.
func TestDualWrite(t *testing.T) {
	type world struct {
		stored, told map[int]bool
		nc           *nats.Conn
		store        *eventstore.Store
	}
	store := func(w *world, i int) { w.stored[i] = true }
	tell := func(w *world, i int) { _ = w.nc.Publish("changes", fmt.Append(nil, i)) }
	add := func(w *world, i int) {
		e, err := eventstore.NewEvent(fmt.Sprint("e-", i), "changed", i)
		if err == nil {
			_, err = w.store.Append(context.Background(), fmt.Sprint("thing-", i), eventstore.Version{}, e)
		}
		w.stored[i] = err == nil
	}
	for _, tc := range []struct {
		name            string
		steps           []func(*world, int)
		untold, phantom int
	}{
		{"stored first: some changes nobody hears of", []func(*world, int){store, tell}, 11, 0},
		{"told first: some news is not true", []func(*world, int){tell, store}, 0, 11},
		{"one append: what is stored is told", []func(*world, int){add}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				w := &world{stored: map[int]bool{}, told: map[int]bool{}, nc: s.Connect("writer"), store: open(t, s.JetStream("events"))}
				listener := s.Connect("listener")
				sub, err := listener.SubscribeSync("changes")
				require.NoError(t, err)
				require.NoError(t, listener.Flush())
				feed, err := w.store.Subscribe(t.Context(), eventstore.Feed{New: true})
				require.NoError(t, err)
				time.Sleep(time.Second)
				for i := range 1000 {
					tc.steps[0](w, i)
					if i%90 == 89 {
						continue // dead; the next process goes on with the next change
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
					w.told[i] = true
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				require.NoError(t, feed.Run(ctx, func(_ context.Context, e eventstore.Event) error {
					var i int
					defer func() { w.told[i] = true }()
					return e.Decode(&i)
				}))
				untold, phantom := 0, 0
				for i := range 1000 {
					if w.stored[i] && !w.told[i] {
						untold++
					}
					if w.told[i] && !w.stored[i] {
						phantom++
					}
				}
				require.Equal(t, []int{tc.untold, tc.phantom}, []int{untold, phantom})
			})
		})
	}
}
