package queueing_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// What plain JetStream does, and why a Worker does not leave it at that.
func TestTraps(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  jetstream.ConsumerConfig
		end  func(jetstream.Msg) error
		last time.Duration // when the fifth try was
	}{
		{"past MaxDeliver a job stays for ever, and is nobody's",
			jetstream.ConsumerConfig{MaxDeliver: 5, AckWait: time.Second}, func(jetstream.Msg) error { return nil }, 4 * time.Second},
		{"a bare nak burns every try at once, whatever BackOff says",
			jetstream.ConsumerConfig{MaxDeliver: 5, BackOff: []time.Duration{time.Minute}}, jetstream.Msg.Nak, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				sc := newScene(t, s)
				stream, err := sc.js.Stream(t.Context(), "JOBS_mail")
				require.NoError(t, err)
				require.NoError(t, stream.DeleteConsumer(t.Context(), "workers"))
				tc.cfg.Durable, tc.cfg.AckPolicy = "plain", jetstream.AckExplicitPolicy
				cons, err := stream.CreateConsumer(t.Context(), tc.cfg)
				require.NoError(t, err)
				tries, last := 0, time.Duration(0)
				c, err := cons.Consume(func(msg jetstream.Msg) {
					tries, last = tries+1, time.Since(sc.start).Round(100*time.Millisecond)
					_ = tc.end(msg)
				})
				require.NoError(t, err)
				sc.send(t, "job-1")
				time.Sleep(10 * time.Minute)
				c.Stop()
				<-c.Closed()
				require.Equal(t, 5, tries)
				require.Equal(t, tc.last, last)
				info, err := stream.Info(context.Background())
				require.NoError(t, err)
				require.EqualValues(t, 1, info.State.Msgs, "it is still there")
				have, err := cons.Info(context.Background())
				require.NoError(t, err)
				require.Zero(t, have.NumPending, "and will not be delivered")
			})
		})
	}
}
