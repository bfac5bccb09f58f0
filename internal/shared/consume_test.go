package shared

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// startConsume publishes 10 messages and handles them one a second.
func startConsume(t *testing.T, s *natstest.Server, nc *nats.Conn) (js jetstream.JetStream, cons jetstream.Consumer, ctx context.Context,
	fail context.CancelCauseFunc, wait func()) {
	js = s.JetStream("owner")
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Storage: jetstream.MemoryStorage})
	require.NoError(t, err)
	for range 10 {
		_, err := js.Publish(t.Context(), "s", nil)
		require.NoError(t, err)
	}
	own, err := jetstream.New(nc)
	require.NoError(t, err)
	cons, err = own.CreateConsumer(t.Context(), "S", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
	ctx, fail = context.WithCancelCause(t.Context())
	wait, err = consume(ctx, nc, cons, slog.New(slog.DiscardHandler), fail, func(msg jetstream.Msg) {
		time.Sleep(time.Second)
		_ = msg.Ack()
	})
	require.NoError(t, err)
	return js, cons, ctx, fail, wait
}

// At the end of ctx, the handled message is finished, and the prefetched ones are
// available at once.
func TestConsumeStops(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		js, _, _, stop, wait := startConsume(t, s, s.Connect("own"))
		time.Sleep(2500 * time.Millisecond)
		stop(nil)
		start := time.Now()
		wait()
		require.Less(t, time.Since(start), time.Second)
		cons, err := js.Consumer(t.Context(), "S", "c")
		require.NoError(t, err)
		batch, err := cons.Fetch(10, jetstream.FetchMaxWait(time.Second))
		require.NoError(t, err)
		left := 0
		for range batch.Messages() {
			left++
		}
		require.Equal(t, 7, left)
	})
}

// consume calls fail if the consumer cannot deliver any more.
func TestConsumeFails(t *testing.T) {
	for name, c := range map[string]struct {
		act  func(t *testing.T, js jetstream.JetStream, nc *nats.Conn, link interface{ Down() })
		want error
	}{
		"the consumer is deleted": {func(t *testing.T, js jetstream.JetStream, _ *nats.Conn, _ interface{ Down() }) {
			require.NoError(t, js.DeleteConsumer(t.Context(), "S", "c"))
		}, jetstream.ErrConsumerDeleted},
		"the stream is deleted": {func(t *testing.T, js jetstream.JetStream, _ *nats.Conn, _ interface{ Down() }) {
			require.NoError(t, js.DeleteStream(t.Context(), "S"))
		}, jetstream.ErrConsumerDeleted},
		"the connection is closed": {func(_ *testing.T, _ jetstream.JetStream, nc *nats.Conn, _ interface{ Down() }) {
			nc.Close()
		}, jetstream.ErrConnectionClosed},
		"a disconnect is temporary": {func(_ *testing.T, _ jetstream.JetStream, _ *nats.Conn, link interface{ Down() }) {
			link.Down()
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				nc := s.Connect("own")
				js, _, ctx, stop, wait := startConsume(t, s, nc)
				time.Sleep(20 * time.Second)
				c.act(t, js, nc, s.Link("own"))
				time.Sleep(time.Minute)
				require.ErrorIs(t, context.Cause(ctx), c.want)
				stop(nil)
				wait()
			})
		})
	}
}
