package streaming_test

import (
	"context"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

func TestBadInput(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("test"), t.Context()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	closed := s.JetStream("closed")
	require.NoError(t, streaming.Provision(ctx, js, "tea", streaming.Config{}))
	closed.Conn().Close()
	process := func(ctx context.Context, js jetstream.JetStream, name string, cfg streaming.Config) error {
		_, err := streaming.NewProcessor(ctx, js, name, list, cfg)
		return err
	}
	event := func(key, id, value string) streaming.Event[reading] {
		return streaming.Event[reading]{Key: key, ID: id, Value: reading{value}}
	}
	for _, bad := range []string{"", "*", ">", "a.b", "a b", "a\x00", strings.Repeat("x", 65)} {
		require.ErrorIs(t, streaming.Send(ctx, js, bad, event("green", "", "")), streaming.ErrID)
		require.ErrorIs(t, streaming.Send(ctx, js, "tea", event(bad, "", "")), streaming.ErrID)
		require.ErrorIs(t, process(ctx, js, bad, streaming.Config{}), streaming.ErrID)
		require.ErrorIs(t, streaming.Provision(ctx, js, bad, streaming.Config{}), streaming.ErrID)
		if bad != "" {
			require.ErrorIs(t, streaming.Send(ctx, js, "tea", event("green", bad, "")), streaming.ErrID)
		}
	}
	for _, c := range []struct {
		err  error
		is   error
		text string
	}{
		{streaming.Send(ctx, js, "tea", event("green", "", strings.Repeat("x", 1<<20))), nats.ErrMaxPayload, "send a reference"},
		{streaming.Send(ctx, js, "none", event("green", "", "")), jetstream.ErrNoStreamResponse, "call Provision"},
		{streaming.Send(ctx, closed, "tea", event("green", "", "")), nats.ErrConnectionClosed, "send to tea"},
		{streaming.Send(ended, js, "tea", event("green", "", "")), context.Canceled, "send to tea"},
		{streaming.Send(ctx, js, "tea", streaming.Event[reading]{Key: "a"}), nil, ""},
		{process(ctx, js, "none", streaming.Config{Bind: true}), jetstream.ErrStreamNotFound, "FEED_none"},
		{process(ctx, closed, "tea", streaming.Config{}), nats.ErrConnectionClosed, "flow tea"},
		{process(ended, js, "tea", streaming.Config{}), context.Canceled, "flow tea"},
		{process(ctx, js, "tea", streaming.Config{MaxAge: 200 * 24 * 3600e9}), streaming.ErrMismatch, "stream FEED_tea has MaxAge 168h0m0s, want 4800h0m0s"},
		{process(ctx, js, "tea", streaming.Config{Window: -1}), streaming.ErrConfig, "Window"},
		{process(ctx, js, "tea", streaming.Config{Lateness: -1}), streaming.ErrConfig, "Lateness"},
		{process(ctx, js, "tea", streaming.Config{Idle: -1}), streaming.ErrConfig, "Idle"},
		{process(ctx, js, "tea", streaming.Config{MaxAge: -1}), streaming.ErrConfig, "MaxAge"},
		{process(ctx, js, "tea", streaming.Config{MaxBytes: -1}), streaming.ErrConfig, "MaxBytes"},
		{process(ctx, js, "tea", streaming.Config{Replicas: -1}), streaming.ErrConfig, "Replicas"},
	} {
		if c.is == nil {
			require.NoError(t, c.err)
			continue
		}
		require.ErrorIs(t, c.err, c.is)
		require.ErrorContains(t, c.err, c.text)
	}
	_, err := streaming.NewProcessor(ctx, js, "tea", streaming.Flow[reading, names]{}, streaming.Config{})
	require.ErrorIs(t, err, streaming.ErrConfig)
	require.ErrorContains(t, streaming.Send(ctx, js, "tea", streaming.Event[func()]{Key: "a"}), "unsupported type")

	p, err := streaming.NewProcessor(ctx, js, "tea", list, streaming.Config{})
	require.NoError(t, err)
	require.NoError(t, p.Run(ended))
	require.ErrorIs(t, p.Run(ctx), streaming.ErrAlreadyRun)
}
