package backoff_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/backoff"
	"github.com/natspatterns/catalog/patterns/retry"
)

// A message is sent with the ID of one that is scheduled: both are done, or the scheduled
// one replaces it, if no worker has handled it until then.
func TestReplaced(t *testing.T) {
	for busy, want := range map[bool][]string{false: {"old", "new", "old"}, true: {"old", "old"}} {
		natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
			js := s.JetStream("worker")
			cfg := backoff.Config{Policy: policy(retry.Config{Policy: retry.Policy{Initial: 4 * time.Minute, Max: time.Hour}})}
			sender, err := backoff.NewSender(t.Context(), js, "bank", cfg)
			require.NoError(t, err)
			var done []string
			work := func() (stop func()) {
				return start(t, js, cfg, func(_ context.Context, msg backoff.Message) error {
					if done = append(done, string(msg.Data)); len(done) == 1 {
						return errDown
					}
					return nil
				})
			}
			require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("old")}))
			stop := work()
			time.Sleep(3 * time.Minute)
			if busy {
				stop()
			}
			require.NoError(t, sender.Send(t.Context(), "pay-1", &nats.Msg{Data: []byte("new")}))
			time.Sleep(2 * time.Minute)
			if busy {
				stop = work()
			}
			time.Sleep(time.Minute)
			stop()
			require.Equal(t, want, done)
		})
	}
}
