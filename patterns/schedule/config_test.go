package schedule_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/schedule"
)

// New refuses a stream with weaker settings, and Provision strengthens it.
func TestWeakerSettings(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		want   string
	}{
		{"schedules expire", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "MaxAge 1h0m0s, want 0s"},
		{"a full stream removes schedules", func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, "MaxBytes 1048576, want -1"},
		{"a limit of messages", func(c *jetstream.StreamConfig) { c.MaxMsgs = 100 }, "MaxMsgs 100, want -1"},
		{"a limit per subject", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 }, "MaxMsgsPerSubject 1, want -1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, js := t.Context(), natstest.Start(t).JetStream("test")
			weaker, err := schedule.StreamConfig("shop", schedule.Config{})
			require.NoError(t, err)
			tc.change(&weaker)
			_, err = js.CreateStream(ctx, weaker)
			require.NoError(t, err)
			_, err = schedule.New(ctx, js, "shop", schedule.Config{})
			require.ErrorIs(t, err, schedule.ErrMismatch)
			require.ErrorContains(t, err, "stream SCHEDULE_shop has "+tc.want)
			require.NoError(t, schedule.Provision(ctx, js, "shop", schedule.Config{}))
			_, err = schedule.New(ctx, js, "shop", schedule.Config{Bind: true})
			require.NoError(t, err)
		})
	}
}

// The server allows no schedules with discard: new, so there is no Config.MaxBytes.
func TestDiscardNew(t *testing.T) {
	js := natstest.Start(t).JetStream("test")
	cfg, err := schedule.StreamConfig("shop", schedule.Config{})
	require.NoError(t, err)
	cfg.Discard = jetstream.DiscardNew
	_, err = js.CreateStream(t.Context(), cfg)
	require.Error(t, err)
}
