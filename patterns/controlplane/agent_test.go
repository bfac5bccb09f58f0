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

func TestAgent(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, two := join(t, s, "web-1", nil), join(t, s, "web-2", nil)
		var gen uint64
		end := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
			time.Sleep(time.Second)
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running, LogLevel: "info"})
			time.Sleep(time.Second)
			gen = set(ctx, t, term, "web-2", controlplane.Desired{State: controlplane.Paused, Rate: 5})
			time.Sleep(time.Second)
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running, LogLevel: "debug"}) // web-2 has its own
		})
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1s running info 0", "3s running debug 0"}, one.calls())
		require.Equal(t, []string{"1s running info 0", "2s paused  5"}, two.calls())
		rs := reports(t, s)
		require.Len(t, rs, 2)
		require.Equal(t, controlplane.Running, rs[0].State)
		require.Equal(t, "debug", rs[0].LogLevel)
		require.Equal(t, controlplane.Paused, rs[1].State)
		require.Equal(t, gen, rs[1].Generation)
		require.Empty(t, rs[1].Problem)
		end()
		one.end()
		two.end()
	})
}

// An agent that was stopped or disconnected applies the latest desired state, and skips
// those in between.
func TestAway(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		disconnected := join(t, s, "web-1", nil)
		end := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
			time.Sleep(time.Second)
			s.Link("web-1").Down()
			for _, state := range []controlplane.State{controlplane.Paused, controlplane.Running, controlplane.Draining} {
				time.Sleep(10 * time.Second)
				set(ctx, t, term, "", controlplane.Desired{State: state})
			}
		})
		time.Sleep(40 * time.Second)
		require.Equal(t, []string{"0s running  0"}, disconnected.calls())
		s.Link("web-1").Up()
		late := join(t, s, "web-2", nil)
		time.Sleep(20 * time.Second)
		require.Len(t, disconnected.calls(), 2)
		require.Contains(t, disconnected.calls()[1], "draining")
		require.Equal(t, []string{"0s draining  0"}, late.calls())
		end()
		disconnected.end()
		late.end()
	})
}

// The desired state of an instance has precedence over that of its service, also when
// the agent starts.
func TestOwnState(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		kv := bucket(t, s)
		for _, inst := range []string{"", "web-1"} {
			_, err := controlplane.Set(t.Context(), kv, "web", inst, controlplane.Desired{State: controlplane.Running, Rate: float64(len(inst))}, controlplane.Config{})
			require.NoError(t, err)
		}
		one, two := join(t, s, "web-1", nil), join(t, s, "web-2", nil)
		time.Sleep(time.Second)
		require.Equal(t, []string{"0s running  5"}, one.calls())
		require.Equal(t, []string{"0s running  0"}, two.calls())
		require.NoError(t, kv.Delete(t.Context(), "desired.web.web-1"))
		time.Sleep(time.Second)
		require.Equal(t, []string{"0s running  5", "1s running  0"}, one.calls(), "the state of the service applies")
		one.end()
		two.end()
	})
}

// A desired state that cannot be decoded is reported, and the previous one stays.
func TestUndecodable(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		kv, one := bucket(t, s), join(t, s, "web-1", nil)
		_, err := controlplane.Set(t.Context(), kv, "web", "", controlplane.Desired{State: controlplane.Running}, controlplane.Config{})
		require.NoError(t, err)
		for _, value := range []string{"{", `{"state":"sleeping"}`} {
			time.Sleep(time.Second)
			revision, err := kv.Put(t.Context(), "desired.web", []byte(value))
			require.NoError(t, err)
			time.Sleep(time.Second)
			r := reports(t, s)[0]
			require.Equal(t, revision, r.Generation)
			require.Contains(t, r.Problem, "key desired.web cannot be decoded")
			require.Equal(t, controlplane.Running, r.State)
		}
		require.Len(t, one.calls(), 1)
		one.end()
	})
}
