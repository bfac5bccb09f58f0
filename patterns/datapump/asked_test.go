package datapump_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/datapump"
)

func large(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	const n = 5_000
	fill(t, s.js, n)
	reaches(t, p, n)
	rows := s.sales(t)
	require.Len(t, rows, n)
	for i, row := range rows {
		require.Equal(t, i, row.N)
	}
}

func breaksOff(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	fill(t, s.js, 5_000)
	reaches(t, p, 5_000)
	for range 20 { // more than are answered at once
		for row, err := range datapump.Query[sale](t.Context(), s.nc, "shops", "sales", nil) {
			var refused *datapump.Error
			if errors.As(err, &refused) && refused.Code == "429" {
				break // those before are being closed
			}
			require.NoError(t, err)
			require.Zero(t, row.N)
			break
		}
	}
	natstest.Eventually(t, 5*time.Second, func(ctx context.Context) error {
		_, err := all[sale](ctx, s.nc, "sales", nil)
		return err
	})
}

func refusals(t *testing.T, s *suite) {
	_, err := all[sale](t.Context(), s.nc, "sales", nil)
	require.ErrorIs(t, err, datapump.ErrNobody)
	s.reader(t)
	for statement, want := range map[string]string{"unknown": "404", "stock-of": ""} {
		_, err := all[sale](t.Context(), s.nc, statement, nil)
		var refused *datapump.Error
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorAs(t, err, &refused)
			require.Equal(t, want, refused.Code)
		}
	}
	for _, args := range []any{map[string]any{"shop": 1}, map[string]any{"shop; DROP TABLE stock": "x"}, []int{1}} {
		_, err := all[stock](t.Context(), s.nc, "stock-of", args)
		var refused *datapump.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "400", refused.Code)
	}
}

func evil(t *testing.T, s *suite) {
	p := s.pump(t, datapump.Config{})
	runs(t, p)
	s.reader(t)
	names := []string{`n\") VALUES (1); DROP TABLE sales; --`, `n\"`, `rowid`, `N`, ``, `n\u0000`}
	for _, name := range names {
		publish(t, s.js, "sales", `{"`+name+`":1}`)
	}
	last := publish(t, s.js, "sales", `{"n":1,"till":"'); DROP TABLE sales; --"}`)
	reaches(t, p, last)
	require.Equal(t, []sale{{1, `'); DROP TABLE sales; --`}}, s.sales(t))
	require.Len(t, diverted(t, s.js, "main"), len(names))
}
