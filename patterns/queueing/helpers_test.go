package queueing_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/queueing"
)

func jet(nc *nats.Conn) (jetstream.JetStream, error) { return jetstream.New(nc) }

func send(ctx context.Context, nc *nats.Conn, queue, id string, msg *nats.Msg) error {
	js, err := jet(nc)
	if err == nil {
		_, err = queueing.Send(ctx, js, queue, id, msg)
	}
	return err
}

// ledger counts the handled jobs, by subject and by worker.
type ledger struct {
	mu    sync.Mutex
	times map[string]int
	by    map[int]int
}

func (l *ledger) did(job queueing.Message, worker int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times == nil {
		l.times, l.by = map[string]int{}, map[int]int{}
	}
	l.times[job.Subject]++
	l.by[worker]++
	return nil
}

func (l *ledger) count() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.times)
}

// wait waits until n different jobs have been done.
func (l *ledger) wait(t *testing.T, n int) {
	t.Helper()
	natstest.Eventually(t, 20*time.Second, func(context.Context) error {
		if got := len(l.count()); got != n {
			return fmt.Errorf("%d of %d jobs were done", got, n)
		}
		return nil
	})
}
