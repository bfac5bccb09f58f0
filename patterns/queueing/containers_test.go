//go:build containers

package queueing_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/containers"
	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

func TestContainers(t *testing.T) {
	url := containers.Server(t)
	conform(t, func(t *testing.T, name string) *nats.Conn { return containers.Connect(t, url, name) }, queueing.Config{})
}

// A server of three stops and starts again while jobs are sent and done: each job
// is done, and none is lost.
func TestContainersCluster(t *testing.T) {
	c := containers.NewCluster(t)
	connect := func(t *testing.T, name string) *nats.Conn { return containers.Connect(t, c.URL(), name) }
	cfg := queueing.Config{Replicas: 3, AckWait: 5 * time.Second}
	natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
		return queueing.Provision(ctx, natstest.JetStream(t, connect(t, "provision")), "restart", cfg)
	})
	conform(t, connect, queueing.Config{Replicas: 3})

	ctx, stop := context.WithCancel(t.Context())
	w, err := queueing.NewWorker(ctx, natstest.JetStream(t, connect(t, "worker")), "restart", cfg)
	require.NoError(t, err)
	var mu sync.Mutex
	done, ended := map[string]int{}, make(chan error, 1)
	go func() {
		ended <- w.Run(ctx, func(_ context.Context, msg queueing.Message) error {
			mu.Lock()
			defer mu.Unlock()
			done[msg.Subject]++
			return nil
		})
	}()
	js := natstest.JetStream(t, connect(t, "sender"))
	restarted := make(chan struct{})
	go func() { defer close(restarted); c.Restart(t, 1) }()
	for i := range 300 {
		id := fmt.Sprintf("job-%d", i)
		natstest.Eventually(t, 30*time.Second, func(ctx context.Context) error {
			_, err := queueing.Send(ctx, js, "restart", id, nats.NewMsg(""))
			return err
		})
	}
	<-restarted
	natstest.Eventually(t, 60*time.Second, func(context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if len(done) < 300 {
			return fmt.Errorf("%d of 300 are done", len(done))
		}
		return nil
	})
	stop()
	require.NoError(t, <-ended)
}
