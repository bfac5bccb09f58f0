package requestreply_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

// During disconnects, delays and server restarts, a Request returns its own reply, or an
// error by its deadline, and is handled at most once. The seed of a history that fails is
// printed.
func TestFaults(t *testing.T) {
	for seed := range uint64(40) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			chance := rand.New(rand.NewPCG(seed, 0))
			var handled [40]atomic.Int32 // by the length of the SKU
			defer respond(t, s.Connect("responder"), requestreply.Config{},
				requestreply.Handle("prices.quote", func(ctx context.Context, q quote) (price, error) {
					handled[len(q.SKU)].Add(1)
					return prices(ctx, q)
				}))()
			nc, nemesis := s.Connect("requester"), make(chan struct{})
			go func() {
				defer close(nemesis)
				for range 5 {
					time.Sleep(time.Duration(chance.IntN(1500)) * time.Millisecond)
					client := []string{"requester", "responder"}[chance.IntN(2)]
					switch chance.IntN(3) {
					case 0:
						s.Link(client).Cut()
					case 1:
						s.Link(client).Delay(time.Duration(chance.IntN(900)) * time.Millisecond)
					case 2:
						s.Stop()
						time.Sleep(500 * time.Millisecond)
						assert.NoError(t, s.Start())
					}
				}
			}()
			replied := 0
			for n := range handled {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				start := time.Now()
				got, err := request(ctx, nc, strings.Repeat("x", n))
				cancel()
				require.LessOrEqual(t, time.Since(start), time.Second, "seed %d", seed)
				if err == nil {
					require.Equal(t, n, got.Cents, "seed %d", seed)
					replied++
				}
				time.Sleep(200 * time.Millisecond)
			}
			<-nemesis
			require.NotZero(t, replied, "seed %d", seed)
			for n := range handled {
				require.LessOrEqual(t, handled[n].Load(), int32(1), "seed %d", seed)
			}
		})
	}
}
