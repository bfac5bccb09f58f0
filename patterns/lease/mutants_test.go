package lease_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/lease"
)

// The mutant: a leader that reads the lease, and then writes, overwrites the write of
// its successor when it is paused in between.
func TestCheckThenWrite(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		ctx, js := t.Context(), s.JetStream("ann")
		require.NoError(t, lease.Provision(ctx, js, config))
		kv, err := js.KeyValue(ctx, "jobs")
		require.NoError(t, err)
		_, err = kv.Create(ctx, "leader", []byte("ann"), jetstream.KeyTTL(3*time.Second))
		require.NoError(t, err)
		holder, err := kv.Get(ctx, "leader")
		require.NoError(t, err)
		require.Equal(t, "ann", string(holder.Value())) // ann holds the lease, and is paused here
		wrote := make(chan struct{})
		bob := lead(t, s, "bob", func(ctx context.Context, term *lease.Term) {
			_, err := term.Put(ctx, "next", []byte("bob"))
			assert.NoError(t, err)
			close(wrote)
		})
		<-wrote
		_, err = kv.Put(ctx, "next", []byte("ann"))
		require.NoError(t, err, "no fence refuses it")
		next, err := kv.Get(ctx, "next")
		require.NoError(t, err)
		require.Equal(t, "ann", string(next.Value()), "the write of bob is lost")
		bob()
	})
}
