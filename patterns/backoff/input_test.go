package backoff_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

func TestBadInput(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("shop")
	ended, cancel := context.WithCancel(ctx)
	cancel()
	sender, err := backoff.NewSender(ctx, js, "bank", backoff.Config{})
	require.NoError(t, err)
	for _, id := range []string{"", "*", ">", "a.b", "a b", "a\x00", "ä", string(make([]byte, 5000)), "a\r\nPUB x 0"} {
		require.ErrorIs(t, sender.Send(ctx, id, &nats.Msg{}), backoff.ErrID)
		_, err = backoff.NewSender(ctx, js, id, backoff.Config{})
		require.ErrorIs(t, err, backoff.ErrID)
		_, err = backoff.NewWorker(ctx, js, id, backoff.Config{})
		require.ErrorIs(t, err, backoff.ErrID)
		require.ErrorIs(t, backoff.Provision(ctx, js, id, backoff.Config{}), backoff.ErrID)
	}
	require.ErrorIs(t, sender.Send(ctx, "pay-1", nil), nats.ErrInvalidMsg)
	require.ErrorIs(t, sender.Send(ctx, "pay-1", &nats.Msg{Data: make([]byte, js.Conn().MaxPayload()-1000)}), nats.ErrMaxPayload)
	require.ErrorIs(t, sender.Send(ended, "pay-1", &nats.Msg{}), context.Canceled)

	w, err := backoff.NewWorker(ctx, js, "bank", backoff.Config{})
	require.NoError(t, err)
	none := func(context.Context, backoff.Message) error { return nil }
	require.ErrorIs(t, w.Run(ctx, nil), backoff.ErrConfig)
	require.NoError(t, w.Run(ended, none))
	require.ErrorIs(t, w.Run(ctx, none), backoff.ErrTwice)

	w, err = backoff.NewWorker(ctx, js, "bank", backoff.Config{})
	require.NoError(t, err)
	js.Conn().Close()
	require.ErrorIs(t, w.Run(ctx, none), nats.ErrConnectionClosed)
	require.ErrorIs(t, sender.Send(ctx, "pay-1", &nats.Msg{}), nats.ErrConnectionClosed)
	_, err = backoff.NewWorker(ctx, js, "bank", backoff.Config{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}

// The largest message that a Sender takes still has room for what a failure adds.
func TestLargest(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		cfg := backoff.Config{Policy: backoff.Policy{First: time.Minute, Ceiling: time.Hour}, Tries: 2}
		sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
		require.NoError(t, err)
		size := int(js.Conn().MaxPayload()) - 1024 - len("backoff.bank.do.pay-1")
		require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: make([]byte, size)}))
		start(t, js, cfg, func(context.Context, backoff.Message) error { return errDown })
		time.Sleep(5 * time.Minute)
		st, _ := stream(t, js)
		m, err := st.GetLastMsgForSubject(t.Context(), "backoff.bank.failed.pay-1")
		require.NoError(t, err)
		require.Len(t, m.Data, size)
	})
}

// A worker whose consumer or stream is deleted says so.
func TestDeleted(t *testing.T) {
	for name, remove := range map[string]func(ctx context.Context, js jetstream.JetStream) error{
		"the consumer": func(ctx context.Context, js jetstream.JetStream) error {
			return js.DeleteConsumer(ctx, "BACKOFF_bank", "workers")
		},
		"the stream": func(ctx context.Context, js jetstream.JetStream) error { return js.DeleteStream(ctx, "BACKOFF_bank") },
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				w, err := backoff.NewWorker(t.Context(), s.JetStream("worker"), "bank", backoff.Config{})
				require.NoError(t, err)
				ended := make(chan error)
				go func() { ended <- w.Run(t.Context(), func(context.Context, backoff.Message) error { return nil }) }()
				time.Sleep(time.Second)
				require.NoError(t, remove(t.Context(), s.JetStream("admin")))
				require.ErrorContains(t, <-ended, "backoff: worker of bank: ")
			})
		})
	}
}

func TestConfig(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("a")
	for field, cfg := range map[string]backoff.Config{
		"Policy": {Policy: backoff.Policy{First: time.Second}}, "Breaker.Wait": {Breaker: backoff.Breaker{Failures: 1}},
		"Breaker.Failures": {Breaker: backoff.Breaker{Wait: steady}}, "Budget.Burst": {Budget: backoff.Budget{Every: 1}},
		"Budget.Every": {Budget: backoff.Budget{Burst: 1}}, "Budget.Ratio": {Budget: backoff.Budget{Ratio: math.NaN(), Burst: 1, Every: 1}},
		"Jitter": {Policy: backoff.Policy{First: 1, Ceiling: 1, Jitter: 1.1}}, "Tries": {Tries: -1}, "Hands": {Hands: -1}, "Long": {Long: -1},
		"Timeout": {Timeout: 1}, "MaxAckPending": {MaxAckPending: -1}, "MaxWaiting": {MaxWaiting: -1}, "Replicas": {Replicas: -1},
	} {
		_, err := backoff.NewSender(ctx, js, "bank", cfg)
		require.ErrorIs(t, err, backoff.ErrConfig)
		require.ErrorContains(t, err, field)
		_, err = backoff.NewWorker(ctx, js, "bank", cfg)
		require.ErrorIs(t, err, backoff.ErrConfig)
		require.ErrorIs(t, backoff.Provision(ctx, js, "bank", cfg), backoff.ErrConfig)
	}
}

// What exists is used as it is, or not at all; only Provision changes it.
func TestStreams(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("a")
	_, err := backoff.NewWorker(ctx, js, "bank", backoff.Config{Bind: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	mine := backoff.Config{Timeout: time.Minute, Storage: jetstream.MemoryStorage, Metadata: map[string]string{"owner": "shop"}}
	_, err = backoff.NewSender(ctx, js, "bank", mine)
	require.NoError(t, err)
	_, err = backoff.NewWorker(ctx, js, "bank", backoff.Config{})
	require.ErrorIs(t, err, backoff.ErrMismatch)
	require.ErrorContains(t, err, "AckWait 2m0s, want 20s")
	_, err = backoff.NewWorker(ctx, js, "bank", backoff.Config{Bind: true, Timeout: time.Minute})
	require.NoError(t, err)
	have, _ := stream(t, js)
	require.Equal(t, "shop", have.CachedInfo().Config.Metadata["owner"])
	require.Equal(t, jetstream.MemoryStorage, have.CachedInfo().Config.Storage)
	mine.MaxAckPending = 7
	require.NoError(t, backoff.Provision(ctx, js, "bank", mine))
	cons, err := have.Consumer(ctx, "workers")
	require.NoError(t, err)
	require.Equal(t, 7, cons.CachedInfo().Config.MaxAckPending)
	require.ErrorContains(t, backoff.Provision(ctx, js, "bank", backoff.Config{}), "backoff: provision bank: ")
}
