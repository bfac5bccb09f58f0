package query_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/patterns/query"
)

// A type of PostgreSQL that JSON does not have is text, as PostgreSQL writes it.
func TestPostgresTypes(t *testing.T) {
	bubble(t, func(t *testing.T, s *suite) {
		source, _ := newPostgres(t)
		r, err := query.NewReader(t.Context(), s.nc, "shops", source, []query.Statement{{Name: "types", SQL: `
		SELECT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id, 12345678901234567890.10::numeric AS sum, '{1,2}'::int[] AS list, NULL AS nothing -- all`}}, query.Config{})
		require.NoError(t, err)
		rows, err := all[json.RawMessage](t.Context(), s.nc, "types", nil)
		require.NoError(t, err)
		require.Len(t, rows, 1)
		require.Equal(t, `{"id":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","sum":12345678901234567890.10,"list":[1,2],"nothing":null}`, string(rows[0]))
		require.NoError(t, r.Run(ended(t)))
	})
}
