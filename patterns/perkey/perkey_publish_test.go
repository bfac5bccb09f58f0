package perkey_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// A message without a version is terminated. Headers are kept, except Nats-* headers.
func TestNoVersion(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, ctx, b := s.JetStream("owner"), t.Context(), newBank(0)
		operator := s.Connect("operator")
		ended, err := operator.SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.PERKEY_bank.>")
		require.NoError(t, err)
		require.NoError(t, operator.Flush())
		var header nats.Header
		b.fails = func(e perkey.Event, _ int) (bool, error) { header = e.Header; return true, nil }
		stop := run(t, s.JetStream("books"), b, perkey.Config{})
		for _, version := range []string{"", "0", "-1", "first"} {
			_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "perkey.bank.a", Header: nats.Header{perkey.HeaderVersion: {version}}})
			require.NoError(t, err)
		}
		e := deposit("a")
		e.Header = nats.Header{"Teller": {"7"}, "Nats-Expected-Stream": {"ANOTHER"}, perkey.HeaderVersion: {"9"}}
		publish(t, js, e)
		time.Sleep(time.Second)
		require.Equal(t, 100, b.now().balance["a"])
		require.Equal(t, "7", header.Get("Teller"))
		require.Empty(t, header.Get("Nats-Expected-Stream"))
		for range 4 {
			advisory, err := ended.NextMsg(time.Second)
			require.NoError(t, err)
			require.Contains(t, string(advisory.Data), "bad version")
		}
		require.NoError(t, stop())
		require.Zero(t, unacked(t, js, 1))
	})
}

// Publish ends after 10 s while the server does not reply.
func TestPublishDeadline(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js := s.JetStream("owner")
		require.NoError(t, perkey.Provision(t.Context(), js, "bank", "books", perkey.Config{}))
		s.Link("owner").Delay(time.Hour)
		start := time.Now()
		require.ErrorIs(t, perkey.Publish(context.Background(), js, "bank", deposit("a")), context.DeadlineExceeded)
		require.InDelta(t, 10, time.Since(start).Seconds(), 0.5)
	})
}
