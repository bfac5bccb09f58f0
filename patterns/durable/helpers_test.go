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

// none is a message without a body.
var none = &nats.Msg{}

// recorder is a handler that records the IDs of its messages, also across restarts.
type recorder struct {
	mu    sync.Mutex
	order []string
}

func (r *recorder) handle(_ context.Context, msg durable.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append(r.order, msg.ID)
	return nil
}

func (r *recorder) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.order...)
}

func (r *recorder) count() map[string]int {
	n := map[string]int{}
	for _, id := range r.ids() {
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

// start runs sub until the end of the test, or until stop, which waits for Run.
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

// stored returns the IDs of the stored messages, in stream order.
func stored(t *testing.T, js jetstream.JetStream) []string {
	t.Helper()
	var r recorder
	_, err := durable.Replay(t.Context(), js, "orders", 0, r.handle)
	require.NoError(t, err)
	return r.ids()
}

func numbered(from, to int) (ids []string) {
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprint("order-", i))
	}
	return ids
}

func provisioned(t *testing.T, js jetstream.JetStream) jetstream.JetStream {
	t.Helper()
	provision(t, js, durable.Config{})
	return js
}
