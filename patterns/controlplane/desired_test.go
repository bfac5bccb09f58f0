package controlplane_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
)

var histories = flag.Uint64("histories", 10, "fault histories to go through")

// A controller that resigns is followed within a third of the lease; one that is
// cut off, within two leases.
func TestTakeover(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		active := make(chan string, 9)
		controller := func(name string) func() {
			return lead(t, s, name, func(context.Context, *controlplane.Term) { active <- name })
		}
		ann := controller("ann")
		time.Sleep(500 * time.Millisecond)
		bob := controller("bob")
		require.Equal(t, "ann", <-active)
		time.Sleep(10 * time.Second)
		require.Empty(t, active, "one at a time")
		ann()
		resigned := time.Now()
		require.Equal(t, "bob", <-active)
		require.LessOrEqual(t, time.Since(resigned), time.Second+10*time.Millisecond)
		cleo := controller("cleo")
		time.Sleep(time.Second)
		cut := time.Now()
		s.Link("bob").Down()
		<-active
		require.LessOrEqual(t, time.Since(cut), 6*time.Second)
		s.Link("bob").Up()
		time.Sleep(10 * time.Second)
		require.Empty(t, active)
		bob()
		cleo()
	})
}

// A controller that is paused while it holds the lease, and writes when it wakes,
// is refused by the server: before it knows, before anyone has taken over, and
// after.
func TestPausedController(t *testing.T) {
	for _, tc := range []struct {
		name   string
		paused time.Duration
		other  bool
		ok     bool
	}{
		{"for less than the lease: it may write", time.Second, true, true},
		{"for longer, and nobody took over: refused", 8 * time.Second, false, false},
		{"for longer, and another is active: refused", 8 * time.Second, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				errs := make(chan error, 1)
				ann := lead(t, s, "ann", func(ctx context.Context, term *controlplane.Term) {
					time.Sleep(100 * time.Millisecond)
					s.Link("ann").Delay(time.Hour) // nothing of it gets through: no renewal either
					time.Sleep(tc.paused)
					s.Link("ann").Delay(0)
					s.Link("ann").Cut() // what was under way is lost; its next write is the late one
					time.Sleep(500 * time.Millisecond)
					_, err := term.Set(context.WithoutCancel(ctx), "web", "", controlplane.Desired{State: controlplane.Stopped})
					select {
					case errs <- err:
					default: // a later term of ann's
					}
				})
				time.Sleep(50 * time.Millisecond) // ann is first
				bob := func() {}
				if tc.other {
					bob = lead(t, s, "bob", func(ctx context.Context, term *controlplane.Term) {
						set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
					})
				}
				err := <-errs
				kv, kvErr := s.JetStream("reader").KeyValue(t.Context(), "control")
				require.NoError(t, kvErr)
				if tc.ok {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, controlplane.ErrFenced)
					if tc.other {
						entry, err := kv.Get(t.Context(), "desired.web")
						require.NoError(t, err)
						require.Contains(t, string(entry.Value()), "running", "bob's word stands")
					}
				}
				ann()
				bob()
			})
		})
	}
}

// A renewal that was stored, but whose acknowledgement was lost, does not fence its
// own sender.
func TestLostRenewal(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js, ready := t.Context(), s.JetStream("other"), make(chan *controlplane.Term, 1)
		end := lead(t, s, "ann", func(_ context.Context, term *controlplane.Term) { ready <- term })
		term := <-ready
		kv, err := js.KeyValue(ctx, "control")
		require.NoError(t, err)
		lease, err := kv.Get(ctx, "lease")
		require.NoError(t, err)
		_, err = js.Publish(ctx, "$KV.control.lease", lease.Value(), jetstream.WithMsgTTL(3*time.Second), jetstream.WithExpectLastSequencePerSubject(lease.Revision()))
		require.NoError(t, err)
		set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
		end()
	})
}

// The twin: a controller that asks for the lease, and then writes, overwrites
// another's word when it is held up in between.
func TestUnfencedController(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("ann")
		require.NoError(t, controlplane.Provision(ctx, js, controlplane.Config{}))
		kv, err := js.KeyValue(ctx, "control")
		require.NoError(t, err)
		_, err = kv.Create(ctx, "lease", []byte("ann"), jetstream.KeyTTL(3*time.Second))
		require.NoError(t, err)
		holder, err := kv.Get(ctx, "lease")
		require.NoError(t, err)
		require.Equal(t, "ann", string(holder.Value())) // so ann believes that she may write, and is paused here
		wrote := make(chan struct{})
		bob := lead(t, s, "bob", func(ctx context.Context, term *controlplane.Term) {
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
			close(wrote)
		})
		<-wrote
		_, err = kv.Put(ctx, "desired.web", []byte(`{"state":"stopped"}`))
		require.NoError(t, err, "nothing refuses her")
		entry, err := kv.Get(ctx, "desired.web")
		require.NoError(t, err)
		require.Contains(t, string(entry.Value()), "stopped", "bob's word is gone")
		bob()
	})
}

// Whatever happens to wires and server, each agent ends at what was last desired.
// The seed of a history that fails is printed; -histories 200 goes through more.
func TestFaults(t *testing.T) {
	for seed := range *histories {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			chance := rand.New(rand.NewPCG(seed, 0))
			agents := []*instance{join(t, s, "web-1", nil), join(t, s, "web-2", nil)}
			rates := make(chan float64, 100)
			controller := func(name string, base float64) func() {
				return lead(t, s, name, func(ctx context.Context, term *controlplane.Term) {
					for n := base; ctx.Err() == nil; n++ {
						if _, err := term.Set(ctx, "web", "", controlplane.Desired{State: controlplane.Running, Rate: n}); err == nil && len(rates) < cap(rates) {
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
				who := []string{"ann", "bob", "web-1", "web-2"}[chance.IntN(4)]
				switch chance.IntN(3) {
				case 0:
					s.Link(who).Cut()
				case 1:
					s.Link(who).Down()
					time.Sleep(time.Duration(chance.IntN(6000)) * time.Millisecond)
					s.Link(who).Up()
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
