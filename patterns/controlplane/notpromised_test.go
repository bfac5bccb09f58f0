package controlplane_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
)

// Without a lease the writes of a paused controller are not refused: it overwrites the
// desired state of its successor.
func TestUnfencedController(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		kv, cfg := bucket(t, s), controlplane.Config{}
		_, err := controlplane.Set(t.Context(), kv, "web", "", controlplane.Desired{State: controlplane.Running}, cfg) // bob
		require.NoError(t, err)
		_, err = controlplane.Set(t.Context(), kv, "web", "", controlplane.Desired{State: controlplane.Stopped}, cfg) // ann, late
		require.NoError(t, err, "no fence refuses it")
		entry, err := kv.Get(t.Context(), "desired.web")
		require.NoError(t, err)
		require.Contains(t, string(entry.Value()), "stopped", "the state of bob is lost")
	})
}

// A handler that succeeded is called again after a restart of its agent.
func TestCalledAgain(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		_, err := controlplane.Set(t.Context(), bucket(t, s), "web", "", controlplane.Desired{State: controlplane.Running}, controlplane.Config{})
		require.NoError(t, err)
		for range 2 {
			one := join(t, s, "web-1", nil)
			time.Sleep(time.Second)
			require.Equal(t, []string{"0s running  0"}, one.calls())
			one.end()
		}
	})
}
