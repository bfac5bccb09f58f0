package idempotent_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/postgres"
)

// The same words do for PostgreSQL, where those that come second wait for the first.
func TestPostgres(t *testing.T) {
	t.Parallel()
	for _, run := range []func(t *testing.T, s *natstest.Server, w world){
		func(t *testing.T, s *natstest.Server, w world) { atOnce(t, s, w, inTx) },
		func(t *testing.T, s *natstest.Server, w world) {
			conformance[0].run(t, s, w, func(receiver string) receive {
				r, err := inTx.open(t.Context(), nil, w, receiver, soon)
				require.NoError(t, err)
				return r
			})
		},
	} {
		db, err := sql.Open("pgx", postgres.Address(t))
		require.NoError(t, err)
		_, err = db.Exec("CREATE TABLE letters (id TEXT)")
		require.NoError(t, err)
		w := world{db, t}
		run(t, natstest.Start(t), w)
		require.Equal(t, map[string]int{"letter-1": 1}, w.sent())
		require.NoError(t, db.Close())
	}
}
