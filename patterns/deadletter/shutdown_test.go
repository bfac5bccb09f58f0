package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/deadletter"
)

// After the end of ctx, a worker that still consumes for a second does not use up the
// delivery attempts of the messages that it receives.
func TestStop(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		cons := sc.consumer("packing", 0)
		ctx, cancel := context.WithCancel(t.Context())
		guarded, err := sc.ch.Guard(ctx, cons, func(context.Context, deadletter.Message) error { return nil })
		require.NoError(t, err)
		received := 0
		run, err := cons.Consume(func(msg jetstream.Msg) {
			if received++; received <= 20 {
				guarded(msg)
			}
		})
		require.NoError(t, err)
		cancel()
		sc.send("easy")
		time.Sleep(time.Second)
		run.Stop()
		<-run.Closed()
		defer sc.work("worker", "packing", sc.handle("packing"), deadletter.Config{})()
		time.Sleep(time.Minute)
		require.Empty(t, sc.letters())
		require.Equal(t, 1, count(sc.noted(), "packing: easy"))
	})
}

// Run returns an error if the stream of advisories is deleted, or the connection closed.
func TestCollectorEnds(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{})
		for i, end := range []func(js jetstream.JetStream) error{
			func(js jetstream.JetStream) error { return js.DeleteStream(t.Context(), "ADVISORIES_ORDERS") },
			func(js jetstream.JetStream) error { js.Conn().Close(); return nil },
		} {
			js := s.JetStream(fmt.Sprint("collector-", i))
			k, err := deadletter.NewCollector(t.Context(), js, "orders", "ORDERS", deadletter.Config{})
			require.NoError(t, err)
			ended := make(chan error)
			go func() { ended <- k.Run(t.Context()) }()
			time.Sleep(time.Minute)
			require.NoError(t, end(js))
			err = <-ended
			require.ErrorContains(t, err, "deadletter: collector of ORDERS: ")
			require.ErrorIs(t, k.Run(t.Context()), deadletter.ErrAlreadyRun)
			require.True(t, errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, nats.ErrConnectionClosed) ||
				errors.Is(err, jetstream.ErrConnectionClosed), "%v", err)
		}
	})
}

// When ctx ends, a running handler has Grace left.
func TestGrace(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		sc := newScene(t, s, jetstream.WorkQueuePolicy, deadletter.Config{Grace: 5 * time.Second})
		cons := sc.consumer("packing", 0)
		ctx, cancel := context.WithCancel(t.Context())
		guarded, err := sc.ch.Guard(ctx, cons, func(ctx context.Context, msg deadletter.Message) error {
			select {
			case <-ctx.Done():
				sc.note("%s: %v", msg.Data, ctx.Err())
			case <-time.After(10 * time.Second):
			}
			return ctx.Err()
		})
		require.NoError(t, err)
		run, err := cons.Consume(guarded)
		require.NoError(t, err)
		sc.send("slow")
		time.Sleep(time.Second)
		cancel()
		run.Stop()
		<-run.Closed()
		require.Equal(t, []string{"6s slow: context canceled"}, sc.noted())
	})
}
