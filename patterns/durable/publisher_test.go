package durable_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// Send does not wait, and Flush knows: all is stored once, through cuts and a restart.
func TestPublisher(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		p, err := durable.NewPublisher(t.Context(), js, "orders", durable.Config{Window: 50})
		require.NoError(t, err)
		s.Link("shop").Delay(20 * time.Millisecond)
		var all sync.WaitGroup
		var failed atomic.Int32
		for g := range 4 {
			all.Go(func() {
				time.Sleep(time.Duration(g) * time.Millisecond)
				for i := range 200 {
					if p.Send(t.Context(), fmt.Sprintf("order-%d-%d", g, i), none) != nil {
						failed.Add(1)
					}
				}
			})
		}
		for range 3 {
			time.Sleep(70 * time.Millisecond)
			s.Link("shop").Cut()
		}
		s.Stop()
		time.Sleep(3 * time.Second)
		require.NoError(t, s.Start())
		all.Wait()
		require.Zero(t, failed.Load())
		require.NoError(t, p.Flush(t.Context()))
		s.Link("shop").Delay(0)
		ids := stored(t, js)
		require.Len(t, ids, 800)
		seen := map[string]bool{}
		for _, id := range ids {
			seen[id] = true
		}
		require.Len(t, seen, 800)
		require.NoError(t, p.Close(t.Context()))
		require.ErrorIs(t, p.Send(t.Context(), "late", none), durable.ErrClosed)
	})
}

// The window is a bound, and nothing is dropped in silence.
func TestPublisherBounds(t *testing.T) {
	outage := func(t *testing.T, window int, f func(t *testing.T, s *natstest.Server, js jetstream.JetStream, p *durable.Publisher)) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("shop")
			p, err := durable.NewPublisher(t.Context(), js, "orders", durable.Config{Window: window})
			require.NoError(t, err)
			s.Link("shop").Down()
			time.Sleep(time.Second)
			f(t, s, js, p)
		})
	}
	t.Run("a full window lets nothing in, until its ctx ends or there is room", func(t *testing.T) {
		outage(t, 3, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, p *durable.Publisher) {
			for _, id := range numbered(1, 3) {
				require.NoError(t, p.Send(t.Context(), id, none))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.ErrorIs(t, p.Send(ctx, "order-4", none), context.DeadlineExceeded)
			require.ErrorIs(t, p.Flush(ctx), context.DeadlineExceeded)
			time.AfterFunc(5*time.Second, s.Link("shop").Up)
			require.NoError(t, p.Send(t.Context(), "order-5", none))
			require.NoError(t, p.Flush(t.Context()))
			require.ElementsMatch(t, []string{"order-1", "order-2", "order-3", "order-5"}, stored(t, js))
			require.NoError(t, p.Close(t.Context()))
		})
	})
	t.Run("what fails is named, once, and keeps others out until it is", func(t *testing.T) {
		outage(t, 10, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, p *durable.Publisher) {
			for _, id := range numbered(1, 3) {
				require.NoError(t, p.Send(t.Context(), id, &nats.Msg{Data: []byte(id)}))
			}
			time.Sleep(time.Minute)
			require.ErrorIs(t, p.Send(t.Context(), "order-4", none), durable.ErrUnconfirmed)
			err := p.Flush(t.Context())
			require.ErrorIs(t, err, durable.ErrUnconfirmed)
			var lost durable.Unconfirmed
			require.ErrorAs(t, err, &lost)
			require.Len(t, lost, 3)
			s.Link("shop").Up()
			time.Sleep(time.Second)
			for _, f := range lost {
				require.Equal(t, f.ID, string(f.Msg.Data))
				require.NoError(t, p.Send(t.Context(), f.ID, f.Msg))
			}
			require.NoError(t, p.Flush(t.Context()))
			require.ElementsMatch(t, numbered(1, 3), stored(t, js))
			require.NoError(t, p.Close(t.Context()))
		})
	})
	t.Run("closed in an outage, it names what is on its way", func(t *testing.T) {
		outage(t, 10, func(t *testing.T, s *natstest.Server, _ jetstream.JetStream, p *durable.Publisher) {
			for _, id := range numbered(1, 3) {
				require.NoError(t, p.Send(t.Context(), id, none))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := p.Close(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, durable.ErrUnconfirmed)
			var lost durable.Unconfirmed
			require.ErrorAs(t, err, &lost)
			require.Len(t, lost, 3)
			s.Link("shop").Up()
		})
	})
}

// A pipelined message that is published again is overtaken; published one after the
// other, none is.
func TestOrder(t *testing.T) {
	send := func(t *testing.T, f func(t *testing.T, s *natstest.Server, js jetstream.JetStream)) (ids []string) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("shop")
			provision(t, js, durable.Config{})
			f(t, s, js)
			s.Link("shop").Delay(0)
			ids = stored(t, js)
		})
		return ids
	}
	cut := func(s *natstest.Server) {
		s.Link("shop").Delay(50 * time.Millisecond)
		time.AfterFunc(20*time.Millisecond, s.Link("shop").Cut)
	}
	t.Run("pipelined", func(t *testing.T) {
		ids := send(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			p, err := durable.NewPublisher(t.Context(), js, "orders", durable.Config{})
			require.NoError(t, err)
			cut(s)
			for _, id := range numbered(1, 9) {
				require.NoError(t, p.Send(t.Context(), id, none))
			}
			require.NoError(t, p.Close(t.Context()))
		})
		require.ElementsMatch(t, numbered(1, 9), ids)
		require.NotEqual(t, numbered(1, 9), ids)
	})
	t.Run("one after the other", func(t *testing.T) {
		require.Equal(t, numbered(1, 9), send(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			cut(s)
			publish(t, js, numbered(1, 9)...)
		}))
	})
}
