package streaming_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// A Processor takes over also if the other one commits between its read and its commit.
func TestTakeOverDuringCommit(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
		first := run(t, s.JetStream("first"), list, short)
		slow := s.JetStream("slow")
		time.Sleep(100 * time.Millisecond) // lint:bubble: in bubble
		p, err := streaming.NewProcessor(t.Context(), slow, "tea", list, short)
		require.NoError(t, err)
		s.Link("slow").Delay(time.Second)
		second := make(chan error, 1)
		go func() { second <- p.Run(t.Context()) }()
		time.Sleep(1500 * time.Millisecond) // the position was read, and the commit is on the way
		send(t, js, "green", "a", time.Time{})
		time.Sleep(time.Second)
		s.Link("slow").Delay(0)
		time.Sleep(10 * time.Second)
		send(t, js, "green", "b", time.Time{})
		time.Sleep(10 * time.Second)
		require.ErrorIs(t, first.stop(), streaming.ErrFenced)
		require.Empty(t, second)
		require.Equal(t, []string{"green 0-2: a", "green 12-14: b"}, outcomes(t, js))
		slow.Conn().Close()
		require.Error(t, <-second)
	})
}

// A disconnect that is longer than each deadline does not end Run. Windows also close
// when the unread events were removed from the feed.
func TestLongDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
		p := run(t, s.JetStream("processor"), list, short)
		time.Sleep(100 * time.Millisecond) // lint:bubble: in bubble
		send(t, js, "green", "a", time.Time{})
		time.Sleep(100 * time.Millisecond)
		s.Link("processor").Down()
		send(t, js, "green", "b", time.Time{})
		feed, err := js.Stream(t.Context(), "FEED_tea")
		require.NoError(t, err)
		require.NoError(t, feed.Purge(t.Context()))
		time.Sleep(time.Minute)
		require.Empty(t, p.ended)
		require.Empty(t, outcomes(t, js))
		s.Link("processor").Up()
		time.Sleep(20 * time.Second)
		require.Equal(t, []string{"green 0-2: a"}, outcomes(t, js))
		require.NoError(t, p.stop())
	})
}
