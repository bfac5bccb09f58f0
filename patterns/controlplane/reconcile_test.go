package controlplane_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
	"github.com/natspatterns/catalog/patterns/lease"
)

func TestRefused(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		i := join(t, s, "web-1", func(_ context.Context, d controlplane.Desired) error {
			if d.Rate > 100 {
				return fmt.Errorf("%w: no more than 100 a second", controlplane.ErrRefused)
			}
			return nil
		})
		var states []controlplane.Report
		end := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
			for _, d := range []controlplane.Desired{
				{State: controlplane.Running}, {State: controlplane.Running, Rate: 500}, {State: controlplane.Draining}, {State: controlplane.Running},
			} {
				gen := set(ctx, t, term, "", d)
				time.Sleep(time.Minute)
				rs := reports(t, s)
				assert.Equal(t, gen, rs[0].Generation)
				states = append(states, rs[0])
			}
		})
		time.Sleep(5 * time.Minute)
		end()
		require.Len(t, i.calls(), 3, "none is tried again, and the last not at all")
		require.Equal(t, "controlplane: refused: no more than 100 a second", states[1].Problem)
		require.Zero(t, states[1].Rate)
		require.Equal(t, controlplane.Running, states[1].State)
		require.Empty(t, states[2].Problem)
		require.Equal(t, "draining cannot become running", states[3].Problem)
		require.Equal(t, controlplane.Draining, states[3].State)
		i.end()
	})
}

// A handler that fails or panics is called again after 1 s, 2 s, 4 s, …, until it
// succeeds or a newer state is desired.
func TestRetry(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		tries := 0
		i := join(t, s, "web-1", func(ctx context.Context, d controlplane.Desired) error {
			if tries++; d.State == controlplane.Running && tries < 4 {
				if tries == 2 {
					panic("out of range")
				}
				return fmt.Errorf("try %d failed", tries)
			}
			if d.State == controlplane.Paused {
				<-ctx.Done() // never gets there
				return ctx.Err()
			}
			return nil
		})
		end := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
			time.Sleep(500 * time.Millisecond)
			assert.Equal(t, "try 1 failed", reports(t, s)[0].Problem)
			time.Sleep(time.Second)
			assert.Equal(t, "panic: out of range", reports(t, s)[0].Problem)
			time.Sleep(18500 * time.Millisecond)
			assert.Equal(t, controlplane.Running, reports(t, s)[0].State)
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Paused})
			time.Sleep(10 * time.Second)
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Stopped})
		})
		time.Sleep(time.Minute)
		require.Equal(t, []string{"0s running  0", "1s running  0", "3s running  0", "7s running  0", "20s paused  0", "30s stopped  0"}, i.calls())
		require.Equal(t, controlplane.Stopped, reports(t, s)[0].State)
		end()
		i.end()
	})
}

// A state that was replaced while the handler was busy is not applied.
func TestSuperseded(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		i := join(t, s, "web-1", func(context.Context, controlplane.Desired) error { time.Sleep(10 * time.Second); return nil })
		kv := bucket(t, s)
		for rate := range 4 {
			_, err := controlplane.Set(t.Context(), kv, "web", "", controlplane.Desired{State: controlplane.Running, Rate: float64(rate)}, controlplane.Config{})
			require.NoError(t, err)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		require.Equal(t, []string{"0s running  0", "10s running  3"}, i.calls())
		i.end()
	})
}
