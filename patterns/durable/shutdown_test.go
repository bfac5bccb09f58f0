package durable_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

// When its context ends, Run finishes the running handler and acks its message. After Grace
// the context of the handler ends, and the next process handles the message.
func TestStop(t *testing.T) {
	for _, tc := range []struct {
		name  string
		work  time.Duration
		first []string
	}{
		{"a handler that ends within Grace is not repeated", 5 * time.Second, []string{"order-1"}},
		{"the message of a handler that does not end within Grace is redelivered", time.Hour, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js := s.JetStream("desk")
				sub := subscribe(t, js, "desk", durable.Config{})
				publish(t, js, numbered(1, 2)...)
				var r, next recorder
				stop := start(t, sub, func(ctx context.Context, msg durable.Message) error {
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(tc.work):
						return r.handle(ctx, msg)
					}
				})
				time.Sleep(time.Second)
				begin := time.Now()
				stop()
				require.LessOrEqual(t, time.Since(begin), 11*time.Second)
				require.ElementsMatch(t, tc.first, r.ids())
				time.Sleep(time.Second)
				_, err := subscribe(t, js, "desk", durable.Config{}).Poll(t.Context(), 10, next.handle)
				require.NoError(t, err)
				require.Equal(t, numbered(1, 2), append(r.ids(), next.ids()...))
			})
		})
	}
}
