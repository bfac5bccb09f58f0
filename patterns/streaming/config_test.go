package streaming_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// NewProcessor accepts streams that are stronger than asked, and refuses weaker ones.
// Provision changes weaker ones.
func TestProvision(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("test"), t.Context()
	cfg := streaming.Config{MaxAge: time.Hour, Metadata: map[string]string{"of": "test"}}
	for name, c := range map[string]struct {
		change func(feed, results *jetstream.StreamConfig)
		want   string // the field that is weaker
	}{
		"as asked":                  {func(_, _ *jetstream.StreamConfig) {}, ""},
		"a longer MaxAge":           {func(feed, _ *jetstream.StreamConfig) { feed.MaxAge = 2 * time.Hour }, ""},
		"a limit of bytes":          {func(_, results *jetstream.StreamConfig) { results.MaxBytes = 1 << 20 }, ""},
		"a longer duplicate window": {func(feed, _ *jetstream.StreamConfig) { feed.Duplicates = 10 * time.Minute }, ""},
		"a shorter MaxAge":          {func(feed, _ *jetstream.StreamConfig) { feed.MaxAge = 5 * time.Minute }, "FEED_tea has MaxAge"},
		"results expire earlier":    {func(_, results *jetstream.StreamConfig) { results.MaxAge = 5 * time.Minute }, "RESULTS_tea has MaxAge"},
		"a shorter duplicate window": {func(feed, _ *jetstream.StreamConfig) {
			feed.Duplicates = time.Second
		}, "FEED_tea has Duplicates"},
		"events are dropped when the feed is full": {func(feed, _ *jetstream.StreamConfig) {
			feed.Discard, feed.MaxMsgs = jetstream.DiscardOld, 10
		}, "FEED_tea has Discard"},
		"no atomic batches": {func(_, results *jetstream.StreamConfig) { results.AllowAtomicPublish = false }, "RESULTS_tea has AllowAtomicPublish"},
		"other subjects":    {func(feed, _ *jetstream.StreamConfig) { feed.Subjects = []string{"feed.tea.green"} }, "FEED_tea has Subjects"},
	} {
		t.Run(name, func(t *testing.T) {
			feed, err := streaming.FeedStreamConfig("tea", cfg)
			require.NoError(t, err)
			results, err := streaming.ResultsStreamConfig("tea", cfg)
			require.NoError(t, err)
			c.change(&feed, &results)
			for _, want := range []jetstream.StreamConfig{feed, results} {
				_ = js.DeleteStream(ctx, want.Name) // the first case has none
				_, err := js.CreateStream(ctx, want)
				require.NoError(t, err)
			}
			_, err = streaming.NewProcessor(ctx, js, "tea", list, cfg)
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, streaming.ErrMismatch)
				require.ErrorContains(t, err, c.want)
			}
			require.NoError(t, streaming.Provision(ctx, js, "tea", cfg))
			_, err = streaming.NewProcessor(ctx, js, "tea", list, cfg)
			require.NoError(t, err)
			have, err := js.Stream(ctx, "FEED_tea")
			require.NoError(t, err)
			require.Equal(t, max(feed.MaxAge, time.Hour), have.CachedInfo().Config.MaxAge, "Provision lowers nothing")
			require.Equal(t, "test", have.CachedInfo().Config.Metadata["of"])
		})
	}
}

// Memory is weaker than file, which cannot be changed later.
func TestStorage(t *testing.T) {
	s := natstest.Start(t)
	js, ctx := s.JetStream("test"), t.Context()
	memory := streaming.Config{Storage: jetstream.MemoryStorage, MaxBytes: 1 << 20}
	require.NoError(t, streaming.Provision(ctx, js, "tea", memory))
	_, err := streaming.NewProcessor(ctx, js, "tea", list, memory)
	require.NoError(t, err)
	_, err = streaming.NewProcessor(ctx, js, "tea", list, streaming.Config{})
	require.ErrorIs(t, err, streaming.ErrMismatch)
	have, err := js.Stream(ctx, "RESULTS_tea")
	require.NoError(t, err)
	require.Equal(t, jetstream.MemoryStorage, have.CachedInfo().Config.Storage)
	require.EqualValues(t, 1<<20, have.CachedInfo().Config.MaxBytes)
}
