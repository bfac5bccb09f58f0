package idempotent_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/idempotent"
)

// On three replicas a conflict with a write that is in flight has another error code, and
// a read can be stale. A message has one effect all the same.
func TestCluster(t *testing.T) {
	c := natstest.NewCluster(t)
	js := natstest.JetStream(t, c.Connect("worker"))
	r, err := idempotent.NewReceiver(t.Context(), js, "mailer", idempotent.Config{Replicas: 3, MaxAge: time.Hour})
	require.NoError(t, err)
	t.Run("concurrent deliveries after an effect that failed", func(t *testing.T) {
		for i := range 20 {
			id := fmt.Sprint("msg-", i)
			_, err := r.Once(t.Context(), id, func(context.Context) error { return errFailed })
			require.ErrorIs(t, err, errFailed)
			var all sync.WaitGroup
			var effects atomic.Int64
			for range 10 {
				all.Go(func() {
					_, err := r.Once(t.Context(), id, func(context.Context) error { effects.Add(1); return nil })
					if err != nil {
						assert.ErrorIs(t, err, idempotent.ErrBusy)
					}
				})
			}
			all.Wait()
			require.EqualValues(t, 1, effects.Load())
		}
	})
	t.Run("a record whose reply is lost, or is still in flight, is not in doubt", func(t *testing.T) {
		stream, err := js.Stream(t.Context(), "KV_done-mailer")
		require.NoError(t, err)
		for i := range 20 {
			id := fmt.Sprint("retry-", i)
			done, err := r.Once(t.Context(), id, func(ctx context.Context) error {
				info, err := stream.Info(ctx)
				require.NoError(t, err)
				claim := info.State.LastSeq
				ack, err := js.PublishMsgAsync(&nats.Msg{Subject: "$KV.done-mailer." + id, Data: fmt.Append(nil, "done ", claim)},
					jetstream.WithExpectLastSequencePerSubject(claim)) // the record, as an earlier attempt sends it
				require.NoError(t, err)
				if i%2 == 0 {
					<-ack.Ok()
				}
				return nil
			})
			require.NoError(t, err)
			require.True(t, done)
		}
	})
}
