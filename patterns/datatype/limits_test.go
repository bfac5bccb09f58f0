package datatype_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datatype"
)

// A message that is too large with the headers of a copy is diverted without its payload.
func TestTooLargeToCopy(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		open(t, js, one)
		m := as("invoice", 1, 1, strings.Repeat("x", 1<<20-200))
		_, err := js.PublishMsg(t.Context(), m)
		require.NoError(t, err)
		wordy := as("invoice", 1, 1, "{}")
		wordy.Header.Set("Note", strings.Repeat("x", 65_300)) // a stream takes 64 KiB of headers
		_, err = js.PublishMsg(t.Context(), wordy)
		require.NoError(t, err)
		stop := read(t, js, one, "billing", seen(new([]string), minutes))
		time.Sleep(time.Second)
		stop()
		diverted := stored(t, js, "INVALID_visit")
		require.Len(t, diverted, 2)
		for _, d := range diverted {
			require.Equal(t, "true", d.Header.Get(datatype.HeaderTruncated), "%s: %d bytes, note of %d", d.Header.Get(datatype.HeaderSequence), len(d.Data), len(d.Header.Get("Note")))
			require.Equal(t, "invalid message", d.Header.Get(datatype.HeaderReason))
			require.Empty(t, d.Data)
		}
	})
}

// An operator can limit the size of messages: a larger copy has no payload.
func TestMaxMsgSize(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		js := s.JetStream("clinic")
		open(t, js, one)
		cfg := must(js.Stream(t.Context(), "INVALID_visit")).CachedInfo().Config
		cfg.MaxMsgSize = 1000
		must(js.UpdateStream(t.Context(), cfg))
		must(js.PublishMsg(t.Context(), as("invoice", 1, 1, strings.Repeat("x", 2000))))
		stop := read(t, js, one, "billing", seen(new([]string), minutes))
		time.Sleep(time.Second)
		stop()
		diverted := stored(t, js, "INVALID_visit")
		require.Len(t, diverted, 1)
		require.Equal(t, "true", diverted[0].Header.Get(datatype.HeaderTruncated))
	})
}

// A full stream refuses messages. A message that cannot be diverted stays in its
// stream, and is diverted when there is room.
func TestFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		one, _, _ := visits(t)
		ctx, js := t.Context(), s.JetStream("clinic")
		limited := memory
		limited.MaxBytes = 1500
		c := must(datatype.NewChannel(ctx, js, "visit", one, limited))
		large := strings.Repeat("x", 400)
		for range 2 {
			must(js.PublishMsg(ctx, as("invoice", 1, 1, large)))
		}
		_, err := c.Publish(ctx, "ann", VisitV1{"p-1", large, 20})
		require.ErrorContains(t, err, "maximum bytes exceeded")
		stop := read(t, js, one, "billing", seen(new([]string), minutes))
		time.Sleep(time.Minute)
		require.Len(t, stored(t, js, "INVALID_visit"), 1)
		info := must(consumer(t, js, "billing").Info(ctx))
		require.Equal(t, 1, info.NumAckPending, "the second one waits for room")
		require.NoError(t, must(js.Stream(ctx, "INVALID_visit")).Purge(ctx))
		time.Sleep(2 * time.Minute)
		stop()
		require.Len(t, stored(t, js, "INVALID_visit"), 1)
	})
}
