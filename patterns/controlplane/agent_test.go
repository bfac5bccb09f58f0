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
)

func TestAgent(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, two := join(t, s, "web-1", nil), join(t, s, "web-2", nil)
		var gen uint64
		end := lead(t, s, "ann", func(ctx context.Context, term *controlplane.Term) {
			time.Sleep(time.Second)
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running, LogLevel: "info"})
			time.Sleep(time.Second)
			gen = set(ctx, t, term, "web-2", controlplane.Desired{State: controlplane.Paused, Rate: 5})
			time.Sleep(time.Second)
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running, LogLevel: "debug"}) // web-2 has its own
		})
		time.Sleep(5 * time.Second)
		require.Equal(t, []string{"1s running info 0", "3s running debug 0"}, one.done())
		require.Equal(t, []string{"1s running info 0", "2s paused  5"}, two.done())
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

// An agent that was away finds what is desired now, not all that was meanwhile; so
// does one that was cut off.
func TestAway(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		cut := join(t, s, "web-1", nil)
		end := lead(t, s, "ann", func(ctx context.Context, term *controlplane.Term) {
			set(ctx, t, term, "", controlplane.Desired{State: controlplane.Running})
			time.Sleep(time.Second)
			s.Link("web-1").Down()
			for _, state := range []controlplane.State{controlplane.Paused, controlplane.Running, controlplane.Draining} {
				time.Sleep(10 * time.Second)
				set(ctx, t, term, "", controlplane.Desired{State: state})
			}
		})
		time.Sleep(40 * time.Second)
		require.Equal(t, []string{"0s running  0"}, cut.done())
		s.Link("web-1").Up()
		late := join(t, s, "web-2", nil)
		time.Sleep(20 * time.Second)
		require.Len(t, cut.done(), 2)
		require.Contains(t, cut.done()[1], "draining")
		require.Equal(t, []string{"0s draining  0"}, late.done())
		end()
		cut.end()
		late.end()
	})
}

func TestRefused(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		i := join(t, s, "web-1", func(_ context.Context, d controlplane.Desired) error {
			if d.Rate > 100 {
				return fmt.Errorf("%w: no more than 100 a second", controlplane.ErrRefused)
			}
			return nil
		})
		var told []controlplane.Report
		end := lead(t, s, "ann", func(ctx context.Context, term *controlplane.Term) {
			for _, d := range []controlplane.Desired{
				{State: controlplane.Running}, {State: controlplane.Running, Rate: 500}, {State: controlplane.Draining}, {State: controlplane.Running},
			} {
				gen := set(ctx, t, term, "", d)
				time.Sleep(time.Minute)
				rs := reports(t, s)
				assert.Equal(t, gen, rs[0].Generation)
				told = append(told, rs[0])
			}
		})
		time.Sleep(5 * time.Minute)
		end()
		require.Len(t, i.done(), 3, "none is tried again, and the last not at all")
		require.Equal(t, "controlplane: refused: no more than 100 a second", told[1].Problem)
		require.Zero(t, told[1].Rate)
		require.Equal(t, controlplane.Running, told[1].State)
		require.Empty(t, told[2].Problem)
		require.Equal(t, "draining cannot become running", told[3].Problem)
		require.Equal(t, controlplane.Draining, told[3].State)
		i.end()
	})
}

// What fails, or panics, is tried again after 1s, 2s, 4s…, until it works or something newer is
// desired.
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
		end := lead(t, s, "ann", func(ctx context.Context, term *controlplane.Term) {
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
		require.Equal(t, []string{"0s running  0", "1s running  0", "3s running  0", "7s running  0", "20s paused  0", "30s stopped  0"}, i.done())
		require.Equal(t, controlplane.Stopped, reports(t, s)[0].State)
		end()
		i.end()
	})
}

// What is being done when the agent stops has until Grace is over.
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
			end := lead(t, s, "ann", func(ctx context.Context, term *controlplane.Term) {
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
