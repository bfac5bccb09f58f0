package controlplane_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/controlplane"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// instance is an agent and what it was told to do.
type instance struct {
	mu  sync.Mutex
	did []string
	end func()
}

func (i *instance) note(format string, args ...any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.did = append(i.did, fmt.Sprintf(format, args...))
}

func (i *instance) done() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return append([]string(nil), i.did...)
}

// join starts the agent of an instance of "web".
func join(t *testing.T, s *natstest.Server, name string, apply func(context.Context, controlplane.Desired) error) *instance {
	t.Helper()
	i, start := &instance{}, time.Now()
	ctx, leave := context.WithCancel(t.Context())
	a, err := controlplane.NewAgent(ctx, s.JetStream(name), "web", name, controlplane.Config{})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ended <- a.Run(ctx, controlplane.Handlers{
			Apply: func(ctx context.Context, d controlplane.Desired) error {
				i.note("%v %s %s %v", time.Since(start).Truncate(100*time.Millisecond), d.State, d.LogLevel, d.Rate)
				if apply != nil {
					return apply(ctx, d)
				}
				return nil
			},
			Do: func(_ context.Context, c controlplane.Command) (string, error) {
				i.note("%s %s", c.Name, c.Args)
				if c.Name == "break" {
					panic("out of range")
				}
				return "done by " + name, nil
			},
		})
	}()
	i.end = func() {
		t.Helper()
		leave()
		require.NoError(t, <-ended)
	}
	return i
}

// lead runs a controller, and act when it is the active one; the function returned
// ends it.
func lead(t *testing.T, s *natstest.Server, name string, act func(ctx context.Context, term *controlplane.Term)) (end func()) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	c, err := controlplane.NewController(ctx, s.JetStream(name), name, controlplane.Config{Lease: 3 * time.Second})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(ctx, func(ctx context.Context, term *controlplane.Term) error {
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

func set(ctx context.Context, t *testing.T, term *controlplane.Term, inst string, d controlplane.Desired) uint64 {
	gen, err := term.Set(ctx, "web", inst, d)
	assert.NoError(t, err)
	return gen
}

func reports(t *testing.T, s *natstest.Server) []controlplane.Report {
	t.Helper()
	rs, err := controlplane.Reports(t.Context(), s.JetStream("reader"), "web", controlplane.Config{})
	require.NoError(t, err)
	return rs
}
