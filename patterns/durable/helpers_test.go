package durable_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/durable"
)

func TestMain(m *testing.M) { natstest.Main(m) }

var none = &nats.Msg{}

// ledger is the world outside: what was done stays done.
type ledger struct {
	mu    sync.Mutex
	order []string
}

func (l *ledger) did(_ context.Context, msg durable.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.order = append(l.order, msg.ID)
	return nil
}

func (l *ledger) ids() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string{}, l.order...)
}

func (l *ledger) count() map[string]int {
	n := map[string]int{}
	for _, id := range l.ids() {
		n[id]++
	}
	return n
}

func subscribe(t *testing.T, js jetstream.JetStream, name string, cfg durable.Config) *durable.Subscriber {
	t.Helper()
	sub, err := durable.NewSubscriber(t.Context(), js, "orders", name, cfg)
	require.NoError(t, err)
	return sub
}

// start runs sub until the end of the test, or until stop, which waits for it.
func start(t *testing.T, sub *durable.Subscriber, handle durable.Handler) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sub.Run(ctx, handle) }()
	stop = sync.OnceFunc(func() { cancel(); assert.NoError(t, <-ended) })
	t.Cleanup(stop)
	return stop
}

func provision(t *testing.T, js jetstream.JetStream, cfg durable.Config) {
	t.Helper()
	require.NoError(t, durable.Provision(t.Context(), js, "orders", nil, cfg))
}

func publish(t *testing.T, js jetstream.JetStream, ids ...string) {
	t.Helper()
	for _, id := range ids {
		_, err := durable.Publish(t.Context(), js, "orders", id, none)
		require.NoError(t, err)
	}
}

// stored is what the topic holds, in its order.
func stored(t *testing.T, js jetstream.JetStream) []string {
	t.Helper()
	var l ledger
	_, err := durable.Replay(t.Context(), js, "orders", 0, l.did)
	require.NoError(t, err)
	return l.ids()
}

func numbered(from, to int) (ids []string) {
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprint("order-", i))
	}
	return ids
}

func shopWithTopic(t *testing.T, js jetstream.JetStream) jetstream.JetStream {
	t.Helper()
	provision(t, js, durable.Config{})
	return js
}
