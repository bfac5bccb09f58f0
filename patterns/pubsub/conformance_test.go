package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/pubsub"
)

// conform checks what holds on any server, on the real clock. connect returns a new
// connection to it.
func conform(t *testing.T, connect func(name string) *nats.Conn) {
	for pattern, want := range map[string]int{"conform.*.placed": 100, "conform.order-1.*": 20, "conform.>": 100, "elsewhere.>": 0} {
		t.Run(pattern, func(t *testing.T) {
			l := subscribe(t, connect("subscriber"), pattern, pubsub.Config{}, nil)
			end := subscribe(t, connect("end"), "end", pubsub.Config{}, nil)
			nc := connect("publisher")
			natstest.Eventually(t, 10*time.Second, func(context.Context) error { // interest has to cross a cluster
				if err := pubsub.Publish(nc, "end", placed{}); err != nil {
					return err
				}
				if err := nc.FlushTimeout(time.Second); err != nil {
					return err
				}
				if n := end.count(); n == 0 {
					return errors.New("the interest has not arrived yet")
				}
				return nil
			})
			var order []string
			for i := range 100 {
				subject := fmt.Sprintf("conform.order-%d.placed", i%5)
				order = append(order, fmt.Sprintf("%s %d", subject, i))
				require.NoError(t, pubsub.Publish(nc, subject, placed{i}))
			}
			require.NoError(t, nc.FlushTimeout(5*time.Second))
			natstest.Eventually(t, 10*time.Second, func(context.Context) error {
				if n := l.count(); n < want {
					return fmt.Errorf("received %d of %d", n, want)
				}
				return nil
			})
			got := l.end(t)
			require.Len(t, got, want)
			if want == 100 {
				require.Equal(t, order, got)
			}
			end.end(t)
		})
	}
}

func TestConformance(t *testing.T) {
	s := natstest.Listen(t)
	conform(t, func(name string) *nats.Conn { return s.Connect(name) })
}
