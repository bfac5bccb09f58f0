package datapump_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
	"github.com/natspatterns/catalog/patterns/datapump/storetest"
)

func TestEnds(t *testing.T) {
	s := natstest.Start(t)
	store, _ := newSQLite(t)
	t.Run("the context has ended", func(t *testing.T) {
		p, err := datapump.NewPump(t.Context(), s.JetStream("test"), "shops", "p", store, storetest.Tables, datapump.Config{})
		require.NoError(t, err)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, p.Run(ended))
	})
	t.Run("the connection is closed", func(t *testing.T) {
		js := s.JetStream("test")
		p, err := datapump.NewPump(t.Context(), js, "shops", "p", store, storetest.Tables, datapump.Config{})
		require.NoError(t, err)
		time.AfterFunc(50*time.Millisecond, js.Conn().Close)
		require.ErrorIs(t, p.Run(t.Context()), nats.ErrConnectionClosed)
		require.ErrorIs(t, datapump.Write(t.Context(), js, "shops", "sales", "1", sale{}), nats.ErrConnectionClosed)
	})
}

// slow is a store whose Apply takes a time.
type slow struct {
	datapump.Store
	takes time.Duration
}

func (s slow) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	select {
	case <-time.After(s.takes):
		return s.Store.Apply(ctx, pump, from, to, rows)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// When its context ends, Run finishes the transaction, or cancels it after Grace.
func TestStop(t *testing.T) {
	for name, tt := range map[string]struct {
		takes, returns time.Duration
		rows           int
	}{
		"a transaction within Grace is finished":       {3 * time.Second, 2 * time.Second, 1},
		"a transaction longer than Grace is cancelled": {20 * time.Second, 5 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				store, db := newSQLite(t)
				js := s.JetStream("test")
				p, err := datapump.NewPump(t.Context(), js, "shops", "main", slow{store, tt.takes}, storetest.Tables, datapump.Config{Grace: 5 * time.Second})
				require.NoError(t, err)
				publish(t, js, "sales", `{"n":1,"till":"a"}`)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				require.NoError(t, p.Run(ctx))
				require.Equal(t, time.Second+tt.returns, time.Since(start).Round(100*time.Millisecond))
				require.Len(t, salesIn(t, reader(db)), tt.rows)
				at, err := store.Position(t.Context(), "main")
				require.NoError(t, err)
				require.EqualValues(t, tt.rows, at)
			})
		})
	}
}

// hanging is a store whose first calls do not return before their context ends.
type hanging struct {
	datapump.Store
	position, apply sync.Once
}

func (h *hanging) Position(ctx context.Context, pump string) (uint64, error) {
	h.position.Do(func() { <-ctx.Done() })
	return h.Store.Position(ctx, pump)
}

func (h *hanging) Apply(ctx context.Context, pump string, from, to uint64, rows []datapump.Row) error {
	h.apply.Do(func() { <-ctx.Done() })
	return h.Store.Apply(ctx, pump, from, to, rows)
}

// A call of the store ends after Timeout, and is retried.
func TestTimeout(t *testing.T) {
	natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
		store, _ := newSQLite(t)
		js := s.JetStream("test")
		p, err := datapump.NewPump(t.Context(), js, "shops", "main", &hanging{Store: store}, storetest.Tables, datapump.Config{Timeout: 5 * time.Second})
		require.NoError(t, err)
		defer runs(t, p)()
		last := publish(t, js, "sales", `{"n":1}`)
		time.Sleep(9 * time.Second)
		require.ErrorIs(t, p.State().Paused, context.DeadlineExceeded)
		time.Sleep(10 * time.Second)
		require.Equal(t, datapump.State{Position: last, Rows: 1}, p.State())
	})
}
