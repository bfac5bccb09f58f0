package datapump_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

// cutting is a store that cuts a link at some calls, while messages are on it.
type cutting struct {
	datapump.Store
	cut func()
	n   int
}

func (c *cutting) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	if c.n++; c.n%5 == 1 && c.n < 50 {
		c.cut()
	}
	return c.Store.Apply(ctx, pump, from, to, rows)
}

// Messages that a disconnect lost are delivered again.
func TestDisconnect(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store, _ := newSQLite(t)
		js := s.JetStream("test")
		require.NoError(t, datapump.Provision(t.Context(), js, "shops", datapump.Config{}))
		fill(t, js, 3000)
		p, err := datapump.NewPump(t.Context(), s.JetStream("pump"), "shops", "main", &cutting{Store: store, cut: s.Link("pump").Cut}, storetest.Tables, datapump.Config{Batch: 100})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		require.Equal(t, datapump.State{Position: 3000, Rows: 3000}, p.State())
		cancel()
		require.NoError(t, <-done)
	})
}
