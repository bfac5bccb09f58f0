package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
)

// A Put times out before its ack arrives, and the caller retries: the key is written
// twice.
func TestNotPromised(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		end := lead(t, s, "ann", func(ctx context.Context, term *lease.Term) {
			time.Sleep(500 * time.Millisecond)
			s.Link("ann").Delay(100 * time.Millisecond)
			short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			defer cancel()
			_, err := term.Put(short, "next", []byte("7")) // stored after 100 ms
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			s.Link("ann").Delay(0)
			time.Sleep(500 * time.Millisecond)
			_, err = term.Put(context.WithoutCancel(ctx), "next", []byte("7"))
			assert.NoError(t, err)
		})
		kv, err := s.JetStream("reader").KeyValue(t.Context(), "jobs")
		require.NoError(t, err)
		writes, err := kv.Watch(t.Context(), "next")
		require.NoError(t, err)
		require.Nil(t, <-writes.Updates(), "no key at the start")
		for range 2 {
			require.Equal(t, "7", string((<-writes.Updates()).Value()))
		}
		require.NoError(t, writes.Stop())
		end()
	})
}
