package heartbeat_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/heartbeat"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// watch runs a Monitor for d of fake time beside act, and returns each change with its
// time.
func watch(t *testing.T, s *natstest.Server, d time.Duration, act func(ctx context.Context)) []string {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	mon, err := heartbeat.NewMonitor(ctx, s.Connect("monitor"), heartbeat.Config{})
	require.NoError(t, err)
	// The instances run longer than the Monitor; otherwise their goodbyes would race with its end.
	alive, crash := context.WithCancel(t.Context())
	defer crash()
	done := make(chan struct{})
	go func() { defer close(done); act(alive) }()
	var got []string
	require.NoError(t, mon.Run(ctx, func(c heartbeat.Change) {
		got = append(got, fmt.Sprintf("%v %s %s", c.At.Sub(start), c.ID, c.State))
	}))
	crash()
	<-done
	return got
}

func send(ctx context.Context, t *testing.T, nc *nats.Conn, id string, cfg heartbeat.Config) {
	assert.NoError(t, heartbeat.Send(ctx, nc, id, cfg))
}
