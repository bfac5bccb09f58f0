package backoff_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
)

func TestConfig(t *testing.T) {
	s := natstest.Start(t)
	ctx, js := t.Context(), s.JetStream("a")
	for field, cfg := range map[string]backoff.Config{
		"MaxDeliver": {MaxDeliver: -1}, "Concurrency": {Concurrency: -1}, "ScheduleAfter": {ScheduleAfter: -1}, "Timeout": {Timeout: 1}, "Grace": {Grace: -1},
		"Backoff": {Backoff: -1}, "MaxAckPending": {MaxAckPending: -1}, "MaxWaiting": {MaxWaiting: -1}, "MaxBytes": {MaxBytes: -1}, "Replicas": {Replicas: -1},
	} {
		_, err := backoff.NewSender(ctx, js, "bank", cfg)
		require.ErrorIs(t, err, backoff.ErrConfig)
		require.ErrorContains(t, err, field)
		_, err = backoff.NewWorker(ctx, js, "bank", cfg)
		require.ErrorIs(t, err, backoff.ErrConfig)
		require.ErrorIs(t, backoff.Provision(ctx, js, "bank", cfg), backoff.ErrConfig)
	}
}
