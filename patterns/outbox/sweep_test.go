package outbox_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/outbox"
)

var histories = flag.Uint64("histories", 6, "fault histories to run")

// With disconnects, crashes and restarts, each order is stored once, and those of a key
// in order. The seed of a history that fails is printed; -histories 200 runs more.
func TestSweep(t *testing.T) {
	for seed := range *histories {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			db, chance := sqlite(t), rand.New(rand.NewPCG(seed, 0))
			js := s.JetStream("shop")
			_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}})
			require.NoError(t, err)
			started, stop := 0, (func() error)(nil)
			spawn := func() (string, *nats.Conn) {
				started++
				name := fmt.Sprint("relay-", started)
				nc := s.Connect(name)
				stop = relay(t, db, nc, outbox.Config{Poll: 300 * time.Millisecond, Batch: 8})
				return name, nc
			}
			name, nc := spawn()
			for i, id := range ids(40) {
				require.NoError(t, place(t.Context(), db, fmt.Sprint("key-", i%3), id))
				time.Sleep(time.Duration(chance.IntN(100)) * time.Millisecond)
				switch chance.IntN(20) {
				case 0:
					s.Link(name).Cut()
				case 1:
					s.Link(name).Down()
					time.Sleep(time.Duration(chance.IntN(3000)) * time.Millisecond)
					s.Link(name).Up()
				case 2: // it crashes
					nc.Close()
					_ = stop()
					name, nc = spawn()
				case 3:
					s.Stop()
					time.Sleep(time.Duration(chance.IntN(2000)) * time.Millisecond)
					require.NoError(t, s.Start())
				}
			}
			time.Sleep(30 * time.Second)
			got, last := stored(t, js), map[int]int{}
			require.Len(t, got, 40, "seed %d", seed)
			for _, id := range got {
				var n int
				_, err := fmt.Sscanf(id, "order-%d", &n)
				require.NoError(t, err)
				require.GreaterOrEqual(t, n, last[n%3], "seed %d: %s after order-%d", seed, id, last[n%3])
				last[n%3] = n
			}
			require.NoError(t, stop())
		})
	}
}
