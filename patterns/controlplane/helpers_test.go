package controlplane_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
	"github.com/natspatterns/catalog/patterns/lease"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// instance is an agent and the calls of its handler.
type instance struct {
	mu   sync.Mutex
	list []string
	end  func()
}

func (i *instance) note(format string, args ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.list = append(i.list, fmt.Sprintf(format, args...))
}

func (i *instance) calls() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.list...)
}

// join starts the agent of an instance of "web".
func join(t *testing.T, s *natstest.Server, name string, apply controlplane.Handler) *instance {
	t.Helper()
	i, start := &instance{}, time.Now()
	ctx, leave := context.WithCancel(t.Context())
	a, err := controlplane.NewAgent(ctx, s.JetStream(name), "web", name, controlplane.Config{})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ended <- a.Run(ctx, func(ctx context.Context, d controlplane.Desired) error {
			i.note("%v %s %s %v", time.Since(start).Truncate(100*time.Millisecond), d.State, d.LogLevel, d.Rate)
			if apply != nil {
				return apply(ctx, d)
			}
			return nil
		})
	}()
	i.end = func() {
		t.Helper()
		leave()
		require.NoError(t, <-ended)
	}
	return i
}

// lead runs a controller that competes for a lease in the bucket of the desired state.
// act is called for each of its terms, which last until end, or until the lease is lost.
func lead(t *testing.T, s *natstest.Server, name string, act func(ctx context.Context, term *lease.Term)) (end func()) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	c, err := lease.NewCandidate(ctx, s.JetStream(name), "lease", name, lease.Config{Bucket: "control", TTL: 3 * time.Second})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(ctx, func(ctx context.Context, term *lease.Term) error {
			act(ctx, term)
			<-ctx.Done()
			return nil
		})
	}()
	return func() {
		t.Helper()
		leave()
		require.NoError(t, <-ended)
	}
}

func set(ctx context.Context, t *testing.T, term *lease.Term, inst string, d controlplane.Desired) uint64 {
	gen, err := controlplane.Set(ctx, term, "web", inst, d, controlplane.Config{})
	assert.NoError(t, err)
	return gen
}

func reports(t *testing.T, s *natstest.Server) []controlplane.Report {
	t.Helper()
	rs, err := controlplane.Reports(t.Context(), s.JetStream("reader"), "web", controlplane.Config{})
	require.NoError(t, err)
	return rs
}

// bucket returns the bucket of the desired state: a Writer without a lease.
func bucket(t *testing.T, s *natstest.Server) jetstream.KeyValue {
	t.Helper()
	js := s.JetStream("admin")
	require.NoError(t, controlplane.Provision(t.Context(), js, controlplane.Config{}))
	kv, err := js.KeyValue(t.Context(), "control")
	require.NoError(t, err)
	return kv
}
