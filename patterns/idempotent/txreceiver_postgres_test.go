package idempotent_test

import (
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/internal/postgres"
)

// The same SQL runs on PostgreSQL, where concurrent calls wait for the first one.
func TestPostgres(t *testing.T) {
	t.Parallel()
	for _, run := range []func(t *testing.T, s *natstest.Server, db testDB){
		func(t *testing.T, s *natstest.Server, db testDB) { atOnce(t, s, db, inTx) },
		func(t *testing.T, s *natstest.Server, db testDB) {
			conformance[0].run(t, s, db, func(receiver string) onceFunc {
				r, err := inTx.open(t.Context(), nil, db, receiver, config)
				require.NoError(t, err)
				return r
			})
		},
	} {
		pool, err := sql.Open("pgx", postgres.Address(t))
		require.NoError(t, err)
		_, err = pool.Exec("CREATE TABLE effects (id TEXT)")
		require.NoError(t, err)
		db := testDB{pool, t}
		run(t, natstest.Start(t), db)
		require.Equal(t, map[string]int{"msg-1": 1}, db.executions())
		require.NoError(t, db.Close())
	}
}
