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

// A controller is paused while it holds the lease, and sets a desired state when it
// resumes. The server refuses it, also before the controller has noticed that its term
// is over, and before another one leads.
func TestPausedController(t *testing.T) {
	for _, tc := range []struct {
		name   string
		paused time.Duration
		other  bool
		ok     bool
	}{
		{"for less than the TTL: written", time.Second, true, true},
		{"for longer, and nobody else leads: refused", 8 * time.Second, false, false},
		{"for longer, and another controller leads: refused", 8 * time.Second, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				errs := make(chan error, 1)
				ann := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
					time.Sleep(100 * time.Millisecond)
					s.Link("ann").Delay(time.Hour) // the server receives nothing, also no renewal
					time.Sleep(tc.paused)
					s.Link("ann").Delay(0)
					s.Link("ann").Cut() // what was delayed is lost; the next write is the late one
					time.Sleep(500 * time.Millisecond)
					_, err := controlplane.Set(context.WithoutCancel(ctx), term, "web", "", controlplane.Desired{State: controlplane.Stopped}, controlplane.Config{})
					select {
					case errs <- err:
					default: // a later term
					}
				})
				time.Sleep(50 * time.Millisecond) // ann is first
				bob := func() {}
				if tc.other {
					bob = lead(t, s, "bob", func(ctx context.Context, term *lease.Term) {
						set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
					})
				}
				err := <-errs
				kv, kvErr := s.JetStream("reader").KeyValue(t.Context(), "control")
				require.NoError(t, kvErr)
				if tc.ok {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, lease.ErrFenced)
					if tc.other {
						entry, err := kv.Get(t.Context(), "desired.web")
						require.NoError(t, err)
						require.Contains(t, string(entry.Value()), "running")
					}
				}
				ann()
				bob()
			})
		})
	}
}
