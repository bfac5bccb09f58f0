package queueing_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// What plain JetStream does, and why a Worker does more.
func TestTraps(t *testing.T) {
	for _, tc := range []struct {
		name string
		cfg  jetstream.ConsumerConfig
		end  func(jetstream.Msg) error
		last time.Duration // when the fifth delivery was
	}{
		{"after MaxDeliver a job stays in the stream and is not delivered",
			jetstream.ConsumerConfig{MaxDeliver: 5, AckWait: time.Second}, func(jetstream.Msg) error { return nil }, 4 * time.Second},
		{"after a plain nak the server redelivers at once, whatever BackOff is",
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
				deliveries, last := 0, time.Duration(0)
				c, err := cons.Consume(func(msg jetstream.Msg) {
					deliveries, last = deliveries+1, time.Since(sc.start).Round(100*time.Millisecond)
					_ = tc.end(msg)
				})
				require.NoError(t, err)
				sc.send(t, "job-1")
				time.Sleep(10 * time.Minute)
				c.Stop()
				<-c.Closed()
				require.Equal(t, 5, deliveries)
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
