package sse_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/sse"
)

func TestBadInput(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("test"), t.Context()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	closed := s.JetStream("closed")
	createStream(t, js, jetstream.FileStorage)
	closed.Conn().Close()
	serve := func(js jetstream.JetStream, stream, subject string, cfg sse.Config) error {
		_, err := sse.NewServer(ctx, js, stream, subject, sse.PathRoute("results.tea", "key"), cfg)
		return err
	}
	for _, bad := range []string{"", "*", ">", "a.b", "a b", "a\x00", strings.Repeat("x", 65)} {
		require.ErrorIs(t, serve(js, bad, "results.tea.*", sse.Config{}), sse.ErrID)
	}
	for _, c := range []struct {
		err  error
		is   error
		text string
	}{
		{serve(js, "NONE", "none.*", sse.Config{}), jetstream.ErrStreamNotFound, "serve stream NONE"},
		{serve(closed, "RESULTS_tea", "results.tea.*", sse.Config{}), nats.ErrConnectionClosed, "serve stream RESULTS_tea"},
		{serve(js, "RESULTS_tea", "results..x", sse.Config{}), sse.ErrConfig, "not a subject"},
		{serve(js, "RESULTS_tea", "results.>.x", sse.Config{}), sse.ErrConfig, "not a subject"},
		{serve(js, "RESULTS_tea", ">", sse.Config{Retry: -1}), sse.ErrConfig, "Retry"},
		{serve(js, "RESULTS_tea", ">", sse.Config{KeepAlive: -1}), sse.ErrConfig, "KeepAlive"},
		{serve(js, "RESULTS_tea", ">", sse.Config{Buffer: -1}), sse.ErrConfig, "Buffer"},
		{serve(js, "RESULTS_tea", ">", sse.Config{WriteTimeout: -1}), sse.ErrConfig, "WriteTimeout"},
		{serve(js, "RESULTS_tea", ">", sse.Config{MaxClients: -1}), sse.ErrConfig, "MaxClients"},
	} {
		require.ErrorIs(t, c.err, c.is)
		require.ErrorContains(t, c.err, c.text)
	}
	_, err := sse.NewServer(ctx, js, "RESULTS_tea", "results.tea.*", nil, sse.Config{})
	require.ErrorIs(t, err, sse.ErrConfig)

	srv, err := sse.NewServer(ctx, js, "RESULTS_tea", "results.tea.*", func(*http.Request) (string, error) { return "", nil }, sse.Config{})
	require.NoError(t, err)
	require.NoError(t, srv.Run(ended))
}
