package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// A message is stored once if Publish returns nil, whatever happens between the publish
// and its ack.
func TestPublish(t *testing.T) {
	for _, tc := range []struct {
		name    string
		between func(t *testing.T, s *natstest.Server)
		took    time.Duration
	}{
		{"the server crashes before the message reaches it, and restarts", func(t *testing.T, s *natstest.Server) {
			s.Link("shop").Down()
			s.Stop()
			time.Sleep(5 * time.Second)
			require.NoError(t, s.Start())
			s.Link("shop").Up()
		}, 5 * time.Second},
		{"the server crashes between the publish and the ack, and restarts", func(t *testing.T, s *natstest.Server) {
			s.Link("shop").Delay(100 * time.Millisecond) // in flight; the ack is lost
			time.Sleep(150 * time.Millisecond)
			s.Link("shop").Delay(0)
			s.Stop()
			time.Sleep(5 * time.Second)
			require.NoError(t, s.Start())
		}, 5 * time.Second},
		{"the client disconnects and reconnects", func(_ *testing.T, s *natstest.Server) {
			s.Link("shop").Down()
			time.Sleep(20 * time.Second)
			s.Link("shop").Up()
		}, 20 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("shop")
				provision(t, js, durable.Config{})
				publish(t, js, "order-1")
				start := time.Now()
				done := make(chan error)
				go func() {
					time.Sleep(time.Millisecond)
					_, err := durable.Publish(t.Context(), js, "orders", "order-2", none)
					done <- err
				}()
				tc.between(t, s)
				require.NoError(t, <-done)
				require.InDelta(t, tc.took.Seconds(), time.Since(start).Seconds(), 4)
				publish(t, js, "order-3")
				require.Equal(t, numbered(1, 3), stored(t, js))
			})
		})
	}

	t.Run("after an outage longer than 30 s Publish fails, and the same Publish later stores the message once", func(t *testing.T) {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("shop")
			provision(t, js, durable.Config{})
			s.Link("shop").Down()
			begin := time.Now()
			_, err := durable.Publish(t.Context(), js, "orders", "order-1", none)
			require.ErrorIs(t, err, durable.ErrUnconfirmed)
			require.Equal(t, 30*time.Second, time.Since(begin))
			s.Link("shop").Up()
			time.Sleep(time.Second)
			publish(t, js, "order-1", "order-1")
			require.Equal(t, []string{"order-1"}, stored(t, js))
		})
	})
}

// The server crashes after it stored the message and before the client receives the ack. A
// retry with the same ID stores it once, also after the restart. A mutant without an ID
// stores it twice.
func TestKilledBetween(t *testing.T) {
	for name, tc := range map[string]struct {
		retry func(t *testing.T, js jetstream.JetStream)
		want  []string
	}{
		"Publish": {func(t *testing.T, js jetstream.JetStream) { publish(t, js, "order-1") }, numbered(1, 1)},
		"the mutant without an ID": {func(t *testing.T, js jetstream.JetStream) {
			_, err := js.Publish(t.Context(), "durable.orders.order-1", nil)
			require.NoError(t, err)
		}, []string{"order-1", "order-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("shop")
				provision(t, js, durable.Config{})
				s.Link("shop").Delay(100 * time.Millisecond)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := durable.Publish(ctx, js, "orders", "order-1", none)
				require.ErrorIs(t, err, durable.ErrUnconfirmed)
				time.Sleep(60 * time.Millisecond) // now it is stored
				s.Link("shop").Delay(0)
				s.Stop()
				require.NoError(t, s.Start())
				time.Sleep(time.Second)
				tc.retry(t, js)
				require.Equal(t, tc.want, stored(t, js))
			})
		})
	}
}

// Publish keeps the headers of a message, except those of the server: a forwarded message
// can carry conditions that the server would refuse, or an expiry.
func TestHeaders(t *testing.T) {
	js := natstest.Start(t).JetStream("shop")
	provision(t, js, durable.Config{})
	header := nats.Header{"Trace": {"a", "b"}, "Nats-Expected-Last-Sequence": {"7"}, jetstream.MsgIDHeader: {"other"}}
	_, err := durable.Publish(t.Context(), js, "orders", "order-1", &nats.Msg{Header: header})
	require.NoError(t, err)
	var got []durable.Message
	_, err = durable.Replay(t.Context(), js, "orders", 0, func(_ context.Context, msg durable.Message) error {
		got = append(got, msg)
		return nil
	})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, nats.Header{"Trace": {"a", "b"}, jetstream.MsgIDHeader: {"order-1"}}, got[0].Header)
	require.Equal(t, "other", header.Get(jetstream.MsgIDHeader), "the caller's header is not changed")
}
