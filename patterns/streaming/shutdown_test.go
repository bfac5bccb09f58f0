package streaming_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/streaming"
)

// Run ends with an error when a stream is deleted or the connection is closed: no more
// events can come.
func TestProcessorEnds(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(t *testing.T, js jetstream.JetStream)
		want string
	}{
		"the feed is deleted": {func(t *testing.T, js jetstream.JetStream) {
			require.NoError(t, js.DeleteStream(t.Context(), "FEED_tea"))
		}, "stream not found"},
		"the results are deleted": {func(t *testing.T, js jetstream.JetStream) {
			require.NoError(t, js.DeleteStream(t.Context(), "RESULTS_tea"))
		}, "stream not found"},
		"the connection is closed": {func(_ *testing.T, js jetstream.JetStream) { js.Conn().Close() }, "connection closed"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *natstest.Server, _ jetstream.JetStream) {
				js := s.JetStream("processor")
				p := run(t, js, list, short)
				time.Sleep(time.Second) // lint:bubble: in bubble
				c.fail(t, js)
				time.Sleep(time.Second)
				_ = streaming.Send(t.Context(), s.JetStream("sender"), "tea", streaming.Event[reading]{Key: "green"})
				require.ErrorContains(t, <-p.ended, c.want)
				p.cancel()
			})
		})
	}
}

// When ctx ends, so does the context of Clean. The event is processed by the next
// Processor, once.
func TestStopDuringClean(t *testing.T) {
	bubble(t, func(t *testing.T, s *natstest.Server, js jetstream.JetStream) {
		entered := make(chan struct{})
		blocked := streaming.Flow[reading, names]{Add: list.Add, Clean: func(ctx context.Context, _ *streaming.Event[reading]) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}}
		p := run(t, s.JetStream("first"), blocked, short)
		send(t, js, "green", "a", time.Time{})
		<-entered
		began := time.Now()
		require.NoError(t, p.stop())
		require.Equal(t, began, time.Now())
		p = run(t, s.JetStream("second"), list, short)
		time.Sleep(5 * time.Second) // lint:bubble: in bubble
		require.Equal(t, []string{"green 0-2: a"}, outcomes(t, js))
		require.Equal(t, streaming.Counts{Added: 1}, counts(t, js))
		require.NoError(t, p.stop())
	})
}
