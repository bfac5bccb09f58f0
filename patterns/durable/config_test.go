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

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("shop")
	provision(t, js, durable.Config{})
	ended, cancel := context.WithCancel(ctx)
	cancel()
	p, err := durable.NewPublisher(ctx, js, "orders", durable.Config{})
	require.NoError(t, err)
	sub := subscribe(t, js, "desk", durable.Config{})
	var r recorder
	for _, id := range []string{"", "*", ">", "a.b", "a b", "a\x00", "ä", string(make([]byte, 5000)), "a\r\nPUB x 0"} {
		_, err := durable.Publish(ctx, js, "orders", id, none)
		require.ErrorIs(t, err, durable.ErrID)
		_, err = durable.Publish(ctx, js, id, "order-1", none)
		require.ErrorIs(t, err, durable.ErrID)
		require.ErrorIs(t, p.Send(ctx, id, none), durable.ErrID)
		_, err = durable.NewPublisher(ctx, js, id, durable.Config{})
		require.ErrorIs(t, err, durable.ErrID)
		_, err = durable.NewSubscriber(ctx, js, id, "desk", durable.Config{})
		require.ErrorIs(t, err, durable.ErrID)
		_, err = durable.NewSubscriber(ctx, js, "orders", id, durable.Config{})
		require.ErrorIs(t, err, durable.ErrID)
		_, err = durable.Replay(ctx, js, id, 0, r.handle)
		require.ErrorIs(t, err, durable.ErrID)
		require.ErrorIs(t, durable.Provision(ctx, js, "orders", []string{id}, durable.Config{}), durable.ErrID)
	}
	big := &nats.Msg{Data: make([]byte, js.Conn().MaxPayload()+1)}
	for msg, want := range map[*nats.Msg]error{nil: nats.ErrInvalidMsg, big: nats.ErrMaxPayload} {
		_, err := durable.Publish(ctx, js, "orders", "order-1", msg)
		require.ErrorIs(t, err, want)
		require.ErrorIs(t, p.Send(ctx, "order-1", msg), want)
	}
	// The payload fits, but not with its headers.
	almost := &nats.Msg{Header: nats.Header{"A": {string(make([]byte, 100))}}, Data: make([]byte, js.Conn().MaxPayload())}
	_, err = durable.Publish(ctx, js, "orders", "order-1", almost)
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	require.NoError(t, p.Send(ctx, "order-1", almost))
	require.ErrorIs(t, p.Flush(ctx), nats.ErrMaxPayload)

	_, err = durable.Publish(ended, js, "orders", "order-1", none)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, p.Send(ended, "order-1", none), context.Canceled)
	_, err = durable.Publish(ctx, js, "nowhere", "order-1", none)
	require.ErrorContains(t, err, "call Provision")
	_, err = durable.Replay(ctx, js, "nowhere", 0, r.handle)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	require.Empty(t, stored(t, js))
	require.NoError(t, p.Close(ctx))

	require.ErrorIs(t, sub.Run(ctx, nil), durable.ErrConfig)
	_, err = sub.Poll(ctx, 1, nil)
	require.ErrorIs(t, err, durable.ErrConfig)
	_, err = durable.Replay(ctx, js, "orders", 0, nil)
	require.ErrorIs(t, err, durable.ErrConfig)
	n, err := sub.Poll(ended, 1, r.handle)
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, sub.Run(ended, r.handle))
	require.ErrorIs(t, sub.Run(ctx, r.handle), durable.ErrAlreadyRun)
}

func TestClosedConnection(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("gone")
	p, err := durable.NewPublisher(ctx, js, "orders", durable.Config{})
	require.NoError(t, err)
	sub := subscribe(t, js, "desk", durable.Config{})
	js.Conn().Close()
	_, err = durable.Publish(ctx, js, "orders", "order-1", none)
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
	require.ErrorIs(t, p.Send(ctx, "order-1", none), nats.ErrConnectionClosed)
	require.NoError(t, p.Close(ctx))
	require.ErrorContains(t, sub.Run(ctx, new(recorder).handle), "connection closed")
	_, err = sub.Poll(ctx, 1, new(recorder).handle)
	require.ErrorContains(t, err, "connection closed")
	_, err = durable.Replay(ctx, js, "orders", 0, new(recorder).handle)
	require.ErrorContains(t, err, "connection closed")
}

// Run returns an error if its consumer or its stream is deleted.
func TestDeleted(t *testing.T) {
	for name, remove := range map[string]func(ctx context.Context, js jetstream.JetStream) error{
		"the consumer": func(ctx context.Context, js jetstream.JetStream) error {
			return js.DeleteConsumer(ctx, "DURABLE_orders", "desk")
		},
		"the stream": func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, "DURABLE_orders") },
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sub := subscribe(t, s.JetStream("desk"), "desk", durable.Config{})
				ended := make(chan error)
				go func() { ended <- sub.Run(t.Context(), new(recorder).handle) }()
				time.Sleep(time.Second)
				require.NoError(t, remove(t.Context(), s.JetStream("admin")))
				require.ErrorContains(t, <-ended, "durable: subscriber desk: ")
			})
		})
	}
}

func TestConfig(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("a")
	for field, cfg := range map[string]durable.Config{
		"MaxInFlight": {MaxInFlight: -1}, "AckWait": {AckWait: 1}, "Backoff": {Backoff: -1}, "Grace": {Grace: -1}, "Duplicates": {Duplicates: 30 * time.Second},
		"MaxBytes": {MaxBytes: -1}, "Replicas": {Replicas: 6},
	} {
		_, err := durable.NewPublisher(ctx, js, "orders", cfg)
		require.ErrorIs(t, err, durable.ErrConfig)
		require.ErrorContains(t, err, field)
		_, err = durable.NewSubscriber(ctx, js, "orders", "desk", cfg)
		require.ErrorIs(t, err, durable.ErrConfig)
		require.ErrorIs(t, durable.Provision(ctx, js, "orders", nil, cfg), durable.ErrConfig)
	}
}
