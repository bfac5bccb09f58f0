package controlplane_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
	"github.com/natspatterns/catalog/patterns/lease"
)

// A handler that runs when the agent stops may go on for Grace.
func TestStopGrace(t *testing.T) {
	for took, want := range map[time.Duration]error{3 * time.Second: nil, time.Minute: context.Canceled} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			ended := make(chan error, 1)
			i := join(t, s, "web-1", func(ctx context.Context, _ controlplane.Desired) error {
				select {
				case <-time.After(took):
				case <-ctx.Done():
				}
				ended <- ctx.Err()
				return ctx.Err()
			})
			end := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
				set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
			})
			time.Sleep(time.Second)
			start := time.Now()
			i.end()
			require.Equal(t, want, <-ended)
			require.Equal(t, min(took-time.Second, 10*time.Second), time.Since(start).Round(100*time.Millisecond))
			end()
		})
	}
}

// An agent that stops while it is disconnected tries for 2 s to write its last report,
// also when it was already trying.
func TestStopDisconnected(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		i := join(t, s, "web-1", func(context.Context, controlplane.Desired) error { time.Sleep(3 * time.Second); return nil })
		_, err := controlplane.Set(t.Context(), bucket(t, s), "web", "", controlplane.Desired{State: controlplane.Running}, controlplane.Config{})
		require.NoError(t, err)
		time.Sleep(time.Second)
		s.Link("web-1").Down()
		time.Sleep(2500 * time.Millisecond)
		start := time.Now()
		i.end()
		require.Equal(t, 2*time.Second, time.Since(start).Round(100*time.Millisecond))
	})
}

// An agent that stops does not call its handler again, neither for a retry nor for a newer
// state.
func TestStopRetry(t *testing.T) {
	for name, busy := range map[string]time.Duration{"during the delay of a retry": 0, "while a newer state waits": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				kv := bucket(t, s)
				i := join(t, s, "web-1", func(context.Context, controlplane.Desired) error { time.Sleep(busy); return errors.New("no") })
				for range 2 {
					_, err := controlplane.Set(t.Context(), kv, "web", "", controlplane.Desired{State: controlplane.Running}, controlplane.Config{})
					require.NoError(t, err)
					time.Sleep(100 * time.Millisecond)
				}
				time.Sleep(300 * time.Millisecond)
				calls, start := len(i.calls()), time.Now()
				i.end()
				require.Equal(t, max(0, busy-500*time.Millisecond), time.Since(start).Round(100*time.Millisecond))
				require.Len(t, i.calls(), calls)
			})
		})
	}
}
