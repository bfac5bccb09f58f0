package datapump_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

func TestInput(t *testing.T) {
	t.Parallel()
	js := natstest.Start(t).JetStream("test")
	store, db := newSQLite(t)
	ctx := t.Context()
	ended, cancel := context.WithCancel(ctx)
	cancel()
	table := func(tb datapump.Table) error {
		_, err := datapump.SQLite(db, datapump.Schema{Tables: []datapump.Table{tb}})
		return err
	}
	pump := func(name, id string, store datapump.Store, cfg datapump.Config) error {
		_, err := datapump.NewPump(ctx, js, name, id, store, cfg)
		return err
	}
	cols := []datapump.Column{{Name: "a"}}
	for _, tt := range []struct {
		name string
		err  error
		want error
		text string
	}{
		{"a stream to bind to is missing", pump("shops", "p", store, datapump.Config{Bind: true}), jetstream.ErrStreamNotFound, "SHOPS"},
		{"a write that no stream takes", datapump.Write(ctx, js, "shops", "sales", "1", sale{}), jetstream.ErrNoStreamResponse, "Provision"},
		{"the name of a pump is no token", pump("shops", "a.b", store, datapump.Config{}), datapump.ErrID, "a.b"},
		{"the name of a stream is no token", pump("*", "p", store, datapump.Config{}), datapump.ErrID, `"*"`},
		{"a negative pause", pump("shops", "p", store, datapump.Config{Pause: -1}), datapump.ErrConfig, "Pause"},
		{"too many replicas", pump("shops", "p", store, datapump.Config{Replicas: 9}), datapump.ErrConfig, "Replicas"},
		{"no store", pump("shops", "p", nil, datapump.Config{}), datapump.ErrConfig, "store"},
		{"an empty schema", func() error { _, err := datapump.SQLite(db, datapump.Schema{}); return err }(), datapump.ErrConfig, "Schema"},
		{"no database", func() error { _, err := datapump.SQLite(nil, schema); return err }(), datapump.ErrConfig, "db"},
		{"no pool", func() error { _, err := datapump.Postgres(nil, schema); return err }(), datapump.ErrConfig, "pool"},
		{"a table with an evil name", table(datapump.Table{Name: `x"; DROP TABLE y; --`, Columns: cols}), datapump.ErrConfig, "Table"},
		{"a column with an evil name", table(datapump.Table{Name: "x", Columns: []datapump.Column{{Name: `a"`}}}), datapump.ErrConfig, "column"},
		{"a column twice", table(datapump.Table{Name: "x", Columns: []datapump.Column{{Name: "a"}, {Name: "A"}}}), datapump.ErrConfig, "twice"},
		{"a column of no type", table(datapump.Table{Name: "x", Columns: []datapump.Column{{Name: "a", Type: 9}}}), datapump.ErrConfig, "Type"},
		{"a key that is no column", table(datapump.Table{Name: "x", Columns: cols, Key: []string{"b"}}), datapump.ErrConfig, "Key"},
		{"a write to a bad table", datapump.Write(ctx, js, "shops", "a.b", "1", sale{}), datapump.ErrID, "a.b"},
		{"a write of what does not encode", datapump.Write(ctx, js, "shops", "sales", "1", func() {}), datapump.ErrPayload, "func"},
		{"a write too large", datapump.Write(ctx, js, "shops", "sales", "1", strings.Repeat("x", 2<<20)), datapump.ErrTooLarge, "elsewhere"},
		{"a write when ctx has ended", datapump.Write(ended, js, "shops", "sales", "1", sale{}), context.Canceled, "write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorIs(t, tt.err, tt.want)
			require.ErrorContains(t, tt.err, tt.text)
			require.True(t, strings.HasPrefix(tt.err.Error(), "datapump: "), "%v", tt.err)
		})
	}
	t.Run("a batch larger than the store takes", func(t *testing.T) {
		require.ErrorContains(t, pump("shops", "p", newBucket(t, js), datapump.Config{Batch: 1000}), "Batch is 1000; the store takes 999")
	})
	t.Run("a stream that is different stays as it is", func(t *testing.T) {
		require.NoError(t, datapump.Provision(ctx, js, "shops", datapump.Config{Keep: time.Hour}))
		err := pump("shops", "p", store, datapump.Config{})
		require.ErrorIs(t, err, datapump.ErrMismatch)
		require.ErrorContains(t, err, "MaxAge")
		require.NoError(t, pump("shops", "p", store, datapump.Config{Keep: time.Hour, Bind: true}))
	})
	t.Run("queries", func(t *testing.T) {
		nc := js.Conn()
		for statement, want := range map[string]error{"*": datapump.ErrID, "sales": datapump.ErrNobody} {
			_, err := all[sale](ctx, nc, statement, nil)
			require.ErrorIs(t, err, want)
		}
		_, err := all[sale](ended, nc, "sales", nil)
		require.ErrorIs(t, err, context.Canceled)
		_, err = all[sale](ctx, nc, "sales", func() {})
		require.ErrorIs(t, err, datapump.ErrPayload)
		_, err = all[sale](ctx, nc, "sales", strings.Repeat("x", 2<<20))
		require.ErrorIs(t, err, datapump.ErrTooLarge)
	})
}

func TestEnds(t *testing.T) {
	s := natstest.Start(t)
	store, _ := newSQLite(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx   context.Context
		close bool
	}{"ctx has ended": {ended, false}, "the connection is closed": {t.Context(), true}} {
		t.Run(name, func(t *testing.T) {
			js := s.JetStream("test")
			p, err := datapump.NewPump(t.Context(), js, "shops", "p", store, datapump.Config{})
			require.NoError(t, err)
			r, err := datapump.NewReader(t.Context(), js.Conn(), "shops", store, datapump.Config{})
			require.NoError(t, err)
			if !tt.close {
				require.NoError(t, p.Run(tt.ctx))
				require.NoError(t, r.Run(tt.ctx))
				require.ErrorIs(t, r.Run(tt.ctx), datapump.ErrTwice)
				return
			}
			time.AfterFunc(50*time.Millisecond, js.Conn().Close)
			require.ErrorIs(t, r.Run(tt.ctx), nats.ErrConnectionClosed)
			require.ErrorIs(t, p.Run(tt.ctx), nats.ErrConnectionClosed)
			_, err = all[sale](t.Context(), js.Conn(), "sales", nil)
			require.ErrorIs(t, err, nats.ErrConnectionClosed)
			require.ErrorIs(t, datapump.Write(t.Context(), js, "shops", "sales", "1", sale{}), nats.ErrConnectionClosed)
		})
	}
}
