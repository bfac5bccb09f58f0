package backoff_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	require.ErrorIs(t, sender.Send(ctx, "pay-1", &nats.Msg{Header: nats.Header{"A": {strings.Repeat("a", 64<<10-2000)}}}), nats.ErrMaxPayload)
	require.ErrorIs(t, sender.Send(ended, "pay-1", &nats.Msg{}), context.Canceled)

	w, err := backoff.NewWorker(ctx, js, "bank", backoff.Config{})
	require.NoError(t, err)
	none := func(context.Context, backoff.Message) error { return nil }
	require.ErrorIs(t, w.Run(ctx, nil), backoff.ErrConfig)
	require.NoError(t, w.Run(ended, none))
	require.ErrorIs(t, w.Run(ctx, none), backoff.ErrAlreadyRun)

	w, err = backoff.NewWorker(ctx, js, "bank", backoff.Config{})
	require.NoError(t, err)
	js.Conn().Close()
	require.ErrorIs(t, w.Run(ctx, none), nats.ErrConnectionClosed)
	require.ErrorIs(t, sender.Send(ctx, "pay-1", &nats.Msg{}), nats.ErrConnectionClosed)
	_, err = backoff.NewWorker(ctx, js, "bank", backoff.Config{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}

// The largest message of a Sender still fits with the headers that a failure adds: by
// max_payload, and by the limit of 64 KiB of headers.
func TestLargest(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		cfg := backoff.Config{Backoff: time.Minute, MaxDeliver: 2}
		sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
		require.NoError(t, err)
		size := int(js.Conn().MaxPayload()) - 2048 - len("backoff.bank.do.pay-1")
		require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: make([]byte, size)}))
		start(t, js, cfg, func(context.Context, backoff.Message) error { return errors.New(strings.Repeat("long ", 1000)) })
		time.Sleep(5 * time.Minute)
		st, _ := stream(t, js)
		m, err := st.GetLastMsgForSubject(t.Context(), "backoff.bank.failed.pay-1")
		require.NoError(t, err)
		require.Len(t, m.Data, size)
	})
}

// The headers of a message can be as large as Send permits.
func TestLargestHeaders(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		cfg := backoff.Config{Backoff: time.Minute, MaxDeliver: 2}
		sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
		require.NoError(t, err)
		header := strings.Repeat("a", 64<<10-1-2048-len("backoff.bank.do.pay-1NATS/1.0\r\nA: \r\n\r\n"))
		require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Header: nats.Header{"A": {header}}}))
		start(t, js, cfg, func(context.Context, backoff.Message) error { return errors.New(strings.Repeat("long ", 1000)) })
		time.Sleep(5 * time.Minute)
		st, _ := stream(t, js)
		m, err := st.GetLastMsgForSubject(t.Context(), "backoff.bank.failed.pay-1")
		require.NoError(t, err)
		require.Equal(t, header, m.Header.Get("A"))
	})
}

// With MaxBytes, Send returns ErrFull before the server has to remove a message, even if
// all messages fail.
func TestMaxBytes(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("shop")
		cfg := backoff.Config{MaxBytes: 1 << 20, MaxDeliver: 2, Backoff: 10 * time.Second}
		start(t, js, cfg, func(context.Context, backoff.Message) error { return errDown })
		sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
		require.NoError(t, err)
		sent := 0
		for range 3 {
			for {
				id := fmt.Sprint("pay-", sent+1)
				err := sender.Send(t.Context(), id, &nats.Msg{Data: append([]byte("of "+id), make([]byte, 10_000)...)})
				if errors.Is(err, backoff.ErrFull) {
					break
				}
				require.NoError(t, err)
				sent++
			}
			time.Sleep(time.Hour)
		}
		require.Greater(t, sent, 45)
		st, left := stream(t, js)
		require.Equal(t, sent, left)
		info, err := st.Info(t.Context(), jetstream.WithSubjectFilter("backoff.bank.failed.*"))
		require.NoError(t, err)
		require.Len(t, info.State.Subjects, sent, "no message is lost")
		require.Less(t, sent, 60, "failed messages count")
	})
}
