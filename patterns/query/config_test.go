package query_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/query"
)

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	nc := natstest.Start(t).Connect("test")
	source, _ := newSQLite(t)
	reader := func(ctx context.Context, name string, source query.Source, cfg query.Config, statements ...query.Statement) error {
		_, err := query.NewReader(ctx, nc, name, source, statements, cfg)
		return err
	}
	good := query.Statement{Name: "sales"}
	rows := func(ctx context.Context, statement string, args any) error {
		_, err := all[sale](ctx, nc, statement, args)
		return err
	}
	for _, tt := range []struct {
		name string
		err  error
		want error
		text string
	}{
		{"the name of a reader is not a token", reader(t.Context(), "*", source, query.Config{}, good), query.ErrID, `"*"`},
		{"no source", reader(t.Context(), "shops", nil, query.Config{}, good), query.ErrConfig, "source"},
		{"no database of SQLite", reader(t.Context(), "shops", query.SQLite(nil), query.Config{}, good), query.ErrConfig, "source"},
		{"no database of PostgreSQL", reader(t.Context(), "shops", query.Postgres(nil), query.Config{}, good), query.ErrConfig, "source"},
		{"no statements", reader(t.Context(), "shops", source, query.Config{}), query.ErrConfig, "statement"},
		{"the name of a statement is not a token", reader(t.Context(), "shops", source, query.Config{}, query.Statement{Name: "a.b"}), query.ErrConfig, "a.b"},
		{"Args is not a struct", reader(t.Context(), "shops", source, query.Config{}, query.Statement{Name: "a", Args: 1}), query.ErrConfig, "struct"},
		{"Args has a field that is not exported", reader(t.Context(), "shops", source, query.Config{}, query.Statement{Name: "a", Args: struct{ a int }{}}), query.ErrConfig, "exported"},
		{"a negative Concurrency", reader(t.Context(), "shops", source, query.Config{Concurrency: -1}, good), query.ErrConfig, "Concurrency"},
		{"a negative Prefetch", reader(t.Context(), "shops", source, query.Config{Prefetch: -1}, good), query.ErrConfig, "Prefetch"},
		{"a negative IdleTimeout", reader(t.Context(), "shops", source, query.Config{IdleTimeout: -1}, good), query.ErrConfig, "IdleTimeout"},
		{"a negative Grace", reader(t.Context(), "shops", source, query.Config{Grace: -1}, good), query.ErrConfig, "Grace"},
		{"a reader when ctx has ended", reader(ended(t), "shops", source, query.Config{}, good), context.Canceled, "reader of shops"},
		{"a query of a bad statement", rows(t.Context(), "*", nil), query.ErrID, `"*"`},
		{"a query without a reader", rows(t.Context(), "sales", nil), query.ErrNoReader, "start one"},
		{"a query when ctx has ended", rows(ended(t), "sales", nil), context.Canceled, "shops.query.sales"},
		{"args that do not encode", rows(t.Context(), "sales", func() {}), query.ErrPayload, "func"},
		{"args that are too large", rows(t.Context(), "sales", strings.Repeat("x", 2<<20)), nats.ErrMaxPayload, "payload"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorIs(t, tt.err, tt.want)
			require.ErrorContains(t, tt.err, tt.text)
			require.True(t, strings.HasPrefix(tt.err.Error(), "query: "), "%v", tt.err)
		})
	}
}

func TestEnds(t *testing.T) {
	s := natstest.Start(t)
	source, _ := newSQLite(t)
	t.Run("the context has ended", func(t *testing.T) {
		r, err := query.NewReader(t.Context(), s.Connect("test"), "shops", source, statements, query.Config{})
		require.NoError(t, err)
		require.NoError(t, r.Run(ended(t)))
		require.ErrorIs(t, r.Run(ended(t)), query.ErrAlreadyRun)
	})
	t.Run("the connection is closed", func(t *testing.T) {
		nc := s.Connect("test")
		r, err := query.NewReader(t.Context(), nc, "shops", source, statements, query.Config{})
		require.NoError(t, err)
		time.AfterFunc(50*time.Millisecond, nc.Close)
		require.ErrorIs(t, r.Run(t.Context()), nats.ErrConnectionClosed)
		_, err = all[sale](t.Context(), nc, "sales", nil)
		require.ErrorIs(t, err, nats.ErrConnectionClosed)
	})
}
