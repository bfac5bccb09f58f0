package controlplane_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
	"github.com/natspatterns/catalog/patterns/lease"
)

var histories = flag.Uint64("histories", 10, "number of fault histories")

// After disconnects and server restarts each agent reaches the latest desired state. The
// seed of a history that fails is printed; -histories 200 runs more.
func TestFaults(t *testing.T) {
	for seed := range *histories {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			chance := rand.New(rand.NewPCG(seed, 0))
			agents := []*instance{join(t, s, "web-1", nil), join(t, s, "web-2", nil)}
			rates := make(chan float64, 100)
			controller := func(name string, base float64) func() {
				return lead(t, s, name, func(ctx context.Context, term *lease.Term) {
					for n := base; ctx.Err() == nil; n++ {
						d := controlplane.Desired{State: controlplane.Running, Rate: n}
						if _, err := controlplane.Set(ctx, term, "web", "", d, controlplane.Config{}); err == nil && len(rates) < cap(rates) {
							rates <- n
						}
						select {
						case <-time.After(2 * time.Second):
						case <-ctx.Done():
						}
					}
				})
			}
			ends := []func(){controller("ann", 1000), controller("bob", 2000)}
			for range 5 {
				time.Sleep(time.Duration(chance.IntN(4000)) * time.Millisecond)
				client := []string{"ann", "bob", "web-1", "web-2"}[chance.IntN(4)]
				switch chance.IntN(3) {
				case 0:
					s.Link(client).Cut()
				case 1:
					s.Link(client).Down()
					time.Sleep(time.Duration(chance.IntN(6000)) * time.Millisecond)
					s.Link(client).Up()
				case 2:
					s.Stop()
					time.Sleep(time.Duration(chance.IntN(3000)) * time.Millisecond)
					require.NoError(t, s.Start())
				}
			}
			time.Sleep(10 * time.Second)
			for _, end := range ends {
				end()
			}
			time.Sleep(30 * time.Second)
			kv, err := s.JetStream("reader").KeyValue(t.Context(), "control")
			require.NoError(t, err)
			last, err := kv.Get(t.Context(), "desired.web")
			require.NoError(t, err)
			for i, r := range reports(t, s) {
				require.Equal(t, last.Revision(), r.Generation, "seed %d, instance %d", seed, i)
				require.Contains(t, string(last.Value()), fmt.Sprintf(`"rate":%v`, r.Rate), "seed %d", seed)
			}
			for _, a := range agents {
				a.end()
			}
		})
	}
}
