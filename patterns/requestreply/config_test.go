package requestreply_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/requestreply"
)

func TestErrors(t *testing.T) {
	s := natstest.Start(t)
	nc, ctx := s.Connect("t"), t.Context()
	for _, subject := range []string{"", "a.", "a.*", "a.>", "a b", "a\x00", strings.Repeat("x", 5000)} {
		_, err := requestreply.Request[quote, price](ctx, nc, subject, quote{})
		require.ErrorIs(t, err, requestreply.ErrID, "%.20q", subject)
		for _, err := range requestreply.All[quote, price](ctx, nc, subject, quote{}, requestreply.Many{}) {
			require.ErrorIs(t, err, requestreply.ErrID)
		}
		_, err = requestreply.NewResponder(ctx, nc, "prices", requestreply.Config{}, requestreply.Handle(subject, prices))
		require.ErrorIs(t, err, requestreply.ErrID)
	}
	_, err := requestreply.NewResponder(ctx, nc, "no name", requestreply.Config{}, requestreply.Handle("a", prices))
	require.ErrorIs(t, err, requestreply.ErrID)
	for _, cfg := range []requestreply.Config{{Concurrency: -1}, {Timeout: -1}, {Grace: -1}} {
		_, err := requestreply.NewResponder(ctx, nc, "prices", cfg, requestreply.Handle("a", prices))
		require.ErrorIs(t, err, requestreply.ErrConfig)
	}
	_, err = requestreply.NewResponder(ctx, nc, "prices", requestreply.Config{})
	require.ErrorIs(t, err, requestreply.ErrConfig)
	_, err = requestreply.NewResponder(ctx, nc, "prices", requestreply.Config{}, requestreply.Endpoint{})
	require.ErrorIs(t, err, requestreply.ErrID)
	for _, err := range requestreply.All[quote, price](ctx, nc, "a", quote{}, requestreply.Many{Max: -1}) {
		require.ErrorIs(t, err, requestreply.ErrConfig)
	}
	_, err = requestreply.Request[string, price](ctx, nc, "a", strings.Repeat("x", 2<<20))
	require.ErrorIs(t, err, requestreply.ErrTooLarge)
	_, err = requestreply.Request[string, price](ctx, nc, "a", strings.Repeat("x", 1<<20-10))
	require.ErrorIs(t, err, requestreply.ErrTooLarge, "with its headers")
	_, err = requestreply.Request[func(), price](ctx, nc, "a", func() {})
	require.ErrorIs(t, err, requestreply.ErrPayload)

	huge := func(context.Context, quote) (string, error) { return strings.Repeat("x", 2<<20), nil }
	none := func(context.Context, quote) (string, error) { var none *requestreply.Error; return "", none }
	end := respond(t, s.Connect("responder"), requestreply.Config{},
		requestreply.Handle("huge", huge), requestreply.Handle("none", none), requestreply.Handle("prices.quote", prices))
	for _, subject := range []string{"huge", "none"} {
		_, err = requestreply.Request[quote, string](ctx, nc, subject, quote{})
		var refused *requestreply.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "500", refused.Code)
	}
	_, err = requestreply.Request[quote, string](ctx, nc, "prices.quote", quote{"apple"})
	require.ErrorIs(t, err, requestreply.ErrPayload)
	require.True(t, nc.IsConnected())
	end()

	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, err = request(ended, nc, "apple")
	require.ErrorIs(t, err, context.Canceled)
	_, err = requestreply.NewResponder(ended, nc, "prices", requestreply.Config{}, requestreply.Handle("a", prices))
	require.ErrorIs(t, err, context.Canceled)
	_, err = requestreply.Request[quote, price](ctx, nc, "a", quote{"apple"})
	require.ErrorIs(t, err, requestreply.ErrNoResponders, "it has unsubscribed")
	r, err := requestreply.NewResponder(ctx, nc, "prices", requestreply.Config{}, requestreply.Handle("a", prices))
	require.NoError(t, err)
	require.NoError(t, r.Run(ended))
	require.ErrorIs(t, r.Run(ctx), requestreply.ErrAlreadyRun)
	other := s.Connect("other")
	r, err = requestreply.NewResponder(ctx, other, "prices", requestreply.Config{}, requestreply.Handle("a", prices))
	require.NoError(t, err)
	other.Close()
	require.ErrorIs(t, r.Run(ctx), nats.ErrConnectionClosed)
	_, err = request(ctx, other, "apple")
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}
