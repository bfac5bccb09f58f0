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

// Send does not wait. After Flush each message is stored once, also after disconnects and a
// restart.
func TestPublisher(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		p, err := durable.NewPublisher(t.Context(), js, "orders", durable.Config{MaxInFlight: 50})
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

// MaxInFlight bounds the messages in flight, and no message is dropped silently.
func TestPublisherBounds(t *testing.T) {
	outage := func(t *testing.T, maxInFlight int, f func(t *testing.T, s *natstest.Server, js jetstream.JetStream, p *durable.Publisher)) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("shop")
			p, err := durable.NewPublisher(t.Context(), js, "orders", durable.Config{MaxInFlight: maxInFlight})
			require.NoError(t, err)
			s.Link("shop").Down()
			time.Sleep(time.Second)
			f(t, s, js, p)
		})
	}
	t.Run("with MaxInFlight messages in flight Send waits for an ack, or until ctx ends", func(t *testing.T) {
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
	t.Run("Flush returns each failed message once, and Send refuses until then", func(t *testing.T) {
		outage(t, 10, func(t *testing.T, s *natstest.Server, js jetstream.JetStream, p *durable.Publisher) {
			for _, id := range numbered(1, 3) {
				require.NoError(t, p.Send(t.Context(), id, &nats.Msg{Data: []byte(id)}))
			}
			time.Sleep(time.Minute)
			require.ErrorIs(t, p.Send(t.Context(), "order-4", none), durable.ErrUnconfirmed)
			err := p.Flush(t.Context())
			require.ErrorIs(t, err, durable.ErrUnconfirmed)
			var failed durable.Unconfirmed
			require.ErrorAs(t, err, &failed)
			require.Len(t, failed, 3)
			s.Link("shop").Up()
			time.Sleep(time.Second)
			for _, f := range failed {
				require.Equal(t, f.ID, string(f.Msg.Data))
				require.NoError(t, p.Send(t.Context(), f.ID, f.Msg))
			}
			require.NoError(t, p.Flush(t.Context()))
			require.ElementsMatch(t, numbered(1, 3), stored(t, js))
			require.NoError(t, p.Close(t.Context()))
		})
	})
	t.Run("Close returns the messages in flight if the client is disconnected", func(t *testing.T) {
		outage(t, 10, func(t *testing.T, s *natstest.Server, _ jetstream.JetStream, p *durable.Publisher) {
			for _, id := range numbered(1, 3) {
				require.NoError(t, p.Send(t.Context(), id, none))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := p.Close(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, durable.ErrUnconfirmed)
			var failed durable.Unconfirmed
			require.ErrorAs(t, err, &failed)
			require.Len(t, failed, 3)
			s.Link("shop").Up()
		})
	})
	t.Run("Close returns the messages whose acks are missing", func(t *testing.T) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("shop")
			p, err := durable.NewPublisher(t.Context(), js, "orders", durable.Config{})
			require.NoError(t, err)
			s.Link("shop").Delay(time.Minute)
			for _, id := range numbered(1, 3) {
				require.NoError(t, p.Send(t.Context(), id, none))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			begin := time.Now()
			var failed durable.Unconfirmed
			require.ErrorAs(t, p.Close(ctx), &failed)
			require.Len(t, failed, 3)
			require.ErrorIs(t, failed, durable.ErrUnconfirmed)
			require.Equal(t, time.Second, time.Since(begin))
			s.Link("shop").Delay(0)
		})
	})
}

// A message of a Publisher is overtaken if it is retried. Publish, one message after the
// other, keeps the order.
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
	disconnect := func(s *natstest.Server) {
		s.Link("shop").Delay(50 * time.Millisecond)
		time.AfterFunc(20*time.Millisecond, s.Link("shop").Cut)
	}
	t.Run("pipelined", func(t *testing.T) {
		ids := send(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			p, err := durable.NewPublisher(t.Context(), js, "orders", durable.Config{})
			require.NoError(t, err)
			disconnect(s)
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
			disconnect(s)
			publish(t, js, numbered(1, 9)...)
		}))
	})
}
