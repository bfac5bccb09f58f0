package controlplane_test

import (
	"context"
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
