package durable_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// What Publish says is stored is stored, once, whatever happens between the publish
// and its ack.
func TestPublish(t *testing.T) {
	for _, tc := range []struct {
		name    string
		between func(t *testing.T, s *natstest.Server)
		took    time.Duration
	}{
		{"the server is killed before the message reaches it, and restarts", func(t *testing.T, s *natstest.Server) {
			s.Line("shop").Down()
			s.Stop()
			time.Sleep(5 * time.Second)
			require.NoError(t, s.Start())
			s.Line("shop").Up()
		}, 5 * time.Second},
		{"the server is killed between the publish and the ack, and restarts", func(t *testing.T, s *natstest.Server) {
			s.Line("shop").Delay(100 * time.Millisecond) // on its way; the answer finds nobody
			time.Sleep(150 * time.Millisecond)
			s.Line("shop").Delay(0)
			s.Stop()
			time.Sleep(5 * time.Second)
			require.NoError(t, s.Start())
		}, 5 * time.Second},
		{"the line is cut, and comes back", func(_ *testing.T, s *natstest.Server) {
			s.Line("shop").Down()
			time.Sleep(20 * time.Second)
			s.Line("shop").Up()
		}, 20 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("shop")
				provision(t, js, durable.Config{})
				publish(t, js, "order-1")
				start := time.Now()
				done := make(chan error)
				go func() {
					time.Sleep(time.Millisecond)
					_, err := durable.Publish(t.Context(), js, "orders", "order-2", none)
					done <- err
				}()
				tc.between(t, s)
				require.NoError(t, <-done)
				require.InDelta(t, tc.took.Seconds(), time.Since(start).Seconds(), 4)
				publish(t, js, "order-3")
				require.Equal(t, numbered(1, 3), stored(t, js))
			})
		})
	}

	t.Run("an outage longer than its patience is told, and the same publish later stores it once", func(t *testing.T) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("shop")
			provision(t, js, durable.Config{})
			s.Line("shop").Down()
			begin := time.Now()
			_, err := durable.Publish(t.Context(), js, "orders", "order-1", none)
			require.ErrorIs(t, err, durable.ErrUnconfirmed)
			require.Equal(t, durable.Patience, time.Since(begin))
			s.Line("shop").Up()
			time.Sleep(time.Second)
			publish(t, js, "order-1", "order-1")
			require.Equal(t, []string{"order-1"}, stored(t, js))
		})
	})
}
