package perkey_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/perkey"
)

// A process whose buffer is full for Takeover sends no pull request. A standby takes over.
func TestBufferFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b, cfg := s.JetStream("owner"), newBank(0), perkey.Config{Concurrency: 1, Buffer: 2}
		one := run(t, s.JetStream("one"), newBank(time.Minute), cfg)
		time.Sleep(time.Second)
		two := run(t, s.JetStream("two"), b, cfg)
		for _, k := range accounts(20) {
			publish(t, js, deposit(k))
		}
		time.Sleep(9 * time.Second)
		require.Empty(t, b.now().balance)
		time.Sleep(10 * time.Second)
		require.Len(t, b.now().balance, 18, "all except those that one holds")
		require.NoError(t, one())
		require.NoError(t, two())
	})
}

// The server delivers no event of a partition while MaxAckPending of them are
// unacknowledged, even if all are of one key.
func TestMaxAckPending(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{})
		c := must(js.Consumer(t.Context(), "PERKEY_bank", "books-0")).CachedInfo().Config
		require.Equal(t, 65536, c.MaxAckPending)
		c.MaxAckPending = 10 // fewer, for this test
		must(js.UpdateConsumer(t.Context(), "PERKEY_bank", c))
		for v := range uint64(10) {
			publish(t, js, event("early", v+2, 1))
		}
		publish(t, js, deposit("other"))
		time.Sleep(time.Hour)
		require.Empty(t, b.now().balance, "the other key waits, too")
		require.NoError(t, stop())
	})
}

// A full stream refuses an event, and keeps those that it has.
func TestStreamFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("books"), b, perkey.Config{MaxBytes: 1000})
		publish(t, js, deposit("a"), withdraw("a"))
		n := 0
		for n < 100 && perkey.Publish(t.Context(), js, "bank", event("b", uint64(n)+1, 1)) == nil {
			n++
		}
		require.Error(t, perkey.Publish(t.Context(), js, "bank", event("b", uint64(n)+1, 1)))
		time.Sleep(time.Second)
		require.Equal(t, map[string]int{"a": 80, "b": n}, b.now().balance)
		require.NoError(t, stop())
	})
}

// A process with a full buffer that stops makes all events available at once.
func TestStopFull(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, b := s.JetStream("owner"), newBank(0)
		stop := run(t, s.JetStream("one"), newBank(time.Hour), perkey.Config{Concurrency: 1, Buffer: 2, Grace: time.Second})
		for _, k := range accounts(20) {
			publish(t, js, deposit(k))
		}
		time.Sleep(time.Second)
		require.NoError(t, stop())
		stop = run(t, s.JetStream("two"), b, perkey.Config{})
		time.Sleep(time.Second)
		require.Len(t, b.now().balance, 20)
		require.NoError(t, stop())
	})
}
