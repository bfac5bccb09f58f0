package idempotent_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

func newOutput(t *testing.T, js jetstream.JetStream, retention jetstream.RetentionPolicy) (jetstream.Stream, *idempotent.Publisher) {
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OUT", Subjects: []string{"orders.>"}, Retention: retention, Duplicates: time.Minute})
	require.NoError(t, err)
	p, err := idempotent.NewPublisher(t.Context(), js, "OUT")
	require.NoError(t, err)
	return stream, p
}

// storedCount returns how many messages the stream has stored, also deleted ones.
func storedCount(t *testing.T, stream jetstream.Stream) int {
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	return int(info.State.LastSeq)
}

func TestPublisher(t *testing.T) {
	paid, shipped := &nats.Msg{Subject: "orders.paid"}, &nats.Msg{Subject: "orders.shipped"}
	for _, c := range []struct {
		name string
		run  func(t *testing.T, s *natstest.Server, js jetstream.JetStream)
	}{
		{"an ID counts for its subject, a plain Nats-Msg-Id for the whole stream", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.LimitsPolicy)
			for _, msg := range []*nats.Msg{paid, shipped} {
				_, err := js.PublishMsg(t.Context(), msg, jetstream.WithMsgID("order-1"))
				require.NoError(t, err)
			}
			require.Equal(t, 1, storedCount(t, stream), "shipped is dropped without an error")
			for range 10 {
				for _, msg := range []*nats.Msg{paid, shipped} {
					_, err := p.Publish(t.Context(), "order-1", msg)
					require.NoError(t, err)
				}
			}
			require.Equal(t, 1+2, storedCount(t, stream))
		}},
		{"the caller's message and headers are not changed", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.LimitsPolicy)
			msg := &nats.Msg{Subject: "orders.paid", Header: nats.Header{"To": {"ann"}}, Data: []byte("hello")}
			_, err := p.Publish(t.Context(), "order-1", msg)
			require.NoError(t, err)
			require.Len(t, msg.Header, 1)
			got, err := stream.GetMsg(t.Context(), 1)
			require.NoError(t, err)
			require.Equal(t, "hello", string(got.Data))
			require.Equal(t, nats.Header{"To": {"ann"}, "Nats-Msg-Id": {"orders.paid/order-1"}, "Nats-Expected-Stream": {"OUT"}}, got.Header)
		}},
		{"content is not compared: the second message of an ID is dropped", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.LimitsPolicy)
			for i, amount := range []string{"10", "20"} {
				done, err := p.Publish(t.Context(), "order-1", &nats.Msg{Subject: "orders.paid", Data: []byte(amount)})
				require.NoError(t, err)
				require.Equal(t, i == 0, done)
			}
			require.Equal(t, 1, storedCount(t, stream))
		}},
		{"a message is published after the client has reconnected", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.LimitsPolicy)
			s.Link("client").Down()
			time.Sleep(time.Second)
			time.AfterFunc(30*time.Second, s.Link("client").Up)
			done, err := p.Publish(t.Context(), "order-1", paid)
			require.NoError(t, err)
			require.True(t, done)
			require.Equal(t, 1, storedCount(t, stream))
		}},
		{"a client that is disconnected for the whole window gives up, and sends nothing later", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.LimitsPolicy)
			s.Link("client").Down()
			time.Sleep(time.Second)
			start := time.Now()
			_, err := p.Publish(t.Context(), "order-1", paid)
			require.ErrorIs(t, err, nats.ErrDisconnected)
			require.NotErrorIs(t, err, idempotent.ErrInDoubt)
			require.InDelta(t, 54, time.Since(start).Seconds(), 1)
			s.Link("client").Up()
			time.Sleep(time.Minute)
			require.Equal(t, 0, storedCount(t, stream))
		}},
		{"a ctx that ends during a disconnect ends the call, and the message is not in doubt", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.LimitsPolicy)
			s.Link("client").Down()
			time.Sleep(time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 3050*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := p.Publish(ctx, "order-1", paid)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, nats.ErrDisconnected)
			require.Equal(t, 3050*time.Millisecond, time.Since(start))
			require.NotErrorIs(t, err, idempotent.ErrInDoubt)
			s.Link("client").Up()
			time.Sleep(time.Minute)
			require.Equal(t, 0, storedCount(t, stream))
		}},
		{"a message without a reply is in doubt", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.LimitsPolicy)
			s.Link("client").Delay(5 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := p.Publish(ctx, "order-1", paid)
			require.ErrorIs(t, err, idempotent.ErrInDoubt)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			time.Sleep(10 * time.Second)
			s.Link("client").Delay(0)
			done, err := p.Publish(t.Context(), "order-1", paid)
			require.NoError(t, err)
			require.False(t, done, "the first attempt was stored")
			require.Equal(t, 1, storedCount(t, stream))
		}},
		{"a client that is closed before the reply is in doubt", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			_, p := newOutput(t, js, jetstream.LimitsPolicy)
			s.Link("client").Delay(time.Second)
			time.AfterFunc(time.Second/2, js.Conn().Close)
			_, err := p.Publish(t.Context(), "order-1", paid)
			require.ErrorIs(t, err, idempotent.ErrInDoubt)
			require.ErrorIs(t, err, nats.ErrConnectionClosed)
			_, err = p.Publish(t.Context(), "order-2", paid)
			require.ErrorIs(t, err, nats.ErrConnectionClosed)
			require.NotErrorIs(t, err, idempotent.ErrInDoubt, "it was not sent")
		}},
		{"a message that the network delays past the window is stored again", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			_, p := newOutput(t, js, jetstream.LimitsPolicy)
			s.Link("client").Delay(3 * time.Second) // the first attempt arrives in time
			time.AfterFunc(time.Second, func() { s.Link("client").Delay(2 * time.Minute) })
			_, err := p.Publish(t.Context(), "order-1", paid)
			require.ErrorIs(t, err, idempotent.ErrInDoubt)
			time.Sleep(10 * time.Minute)
			stream, err := s.JetStream("observer").Stream(t.Context(), "OUT")
			require.NoError(t, err)
			require.Greater(t, storedCount(t, stream), 1)
		}},
		{"a stream that restarts forgets the IDs of deleted messages", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.WorkQueuePolicy)
			for _, msg := range []*nats.Msg{paid, shipped} {
				_, err := p.Publish(t.Context(), "order-1", msg)
				require.NoError(t, err)
			}
			require.NoError(t, stream.DeleteMsg(t.Context(), 1)) // as an ack of a work queue does
			s.Stop()
			require.NoError(t, s.Start())
			time.Sleep(time.Second)
			for _, msg := range []*nats.Msg{paid, shipped} {
				done, err := p.Publish(t.Context(), "order-1", msg)
				require.NoError(t, err)
				require.Equal(t, msg == paid, done)
			}
			require.Equal(t, 3, storedCount(t, stream), "paid is stored again, inside the window")
		}},
		{"after the window, an expected last sequence of 0 still drops duplicates", func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
			stream, p := newOutput(t, js, jetstream.LimitsPolicy)
			for range 3 {
				done, err := p.Publish(t.Context(), "order-1", paid)
				require.NoError(t, err)
				require.True(t, done)
				_, err = js.Publish(t.Context(), "orders.one.order-1", nil, jetstream.WithExpectLastSequencePerSubject(0))
				if err != nil {
					require.ErrorContains(t, err, "wrong last sequence")
				}
				time.Sleep(2 * time.Minute)
			}
			require.Equal(t, 3+1, storedCount(t, stream))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) { c.run(t, s, s.JetStream("client")) })
		})
	}
}
