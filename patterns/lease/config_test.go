package lease_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
)

func TestBadInput(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("t")
	for _, id := range []string{"", "a.b", "*", ">", "a b", "a\x00", strings.Repeat("x", 5000)} {
		_, err := lease.NewCandidate(ctx, js, id, "ann", config)
		require.ErrorIs(t, err, lease.ErrID)
		_, err = lease.NewCandidate(ctx, js, "leader", id, config)
		require.ErrorIs(t, err, lease.ErrID)
	}
	for field, cfg := range map[string]lease.Config{
		"Bucket": {Bucket: "a.b"}, "TTL": {TTL: time.Millisecond}, "whole seconds": {TTL: 1500 * time.Millisecond},
		"Replicas": {Replicas: 9}, "MaxBytes": {MaxBytes: -1},
	} {
		_, err := lease.NewCandidate(ctx, js, "leader", "ann", cfg)
		require.ErrorIs(t, err, lease.ErrConfig)
		require.ErrorContains(t, err, field)
		require.ErrorIs(t, lease.Provision(ctx, js, cfg), lease.ErrConfig)
	}
	c, err := lease.NewCandidate(ctx, js, "leader", "ann", config)
	require.NoError(t, err)
	err = c.Run(ctx, func(ctx context.Context, term *lease.Term) error {
		for _, key := range []string{"", "a..b", "*", "a.>", "a b", strings.Repeat("x", 65)} {
			_, err := term.Put(ctx, key, nil)
			assert.ErrorIs(t, err, lease.ErrID)
		}
		_, err := term.Put(ctx, "leader", nil)
		assert.ErrorIs(t, err, lease.ErrConfig)
		assert.Equal(t, "jobs", term.Bucket())
		return nats.ErrInvalidMsg
	})
	require.ErrorIs(t, err, nats.ErrInvalidMsg, "the error of lead")
	require.ErrorIs(t, c.Run(ctx, nil), lease.ErrAlreadyRun)
	c, err = lease.NewCandidate(ctx, js, "leader", "ann", config)
	require.NoError(t, err)
	require.ErrorIs(t, c.Run(ctx, nil), lease.ErrConfig)
}

func TestClosed(t *testing.T) {
	s := natstest.Start(t)
	nc := s.Connect("t")
	c, err := lease.NewCandidate(t.Context(), natstest.JetStream(t, nc), "leader", "ann", config)
	require.NoError(t, err)
	nc.Close()
	err = c.Run(t.Context(), func(context.Context, *lease.Term) error { return nil })
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}
