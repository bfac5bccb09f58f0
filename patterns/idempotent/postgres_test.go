package idempotent_test

import (
	"database/sql"
	"fmt"
	"os"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
)

// The same words do for PostgreSQL, where those that come second wait for the first.
func TestPostgres(t *testing.T) {
	address := os.Getenv("IDEMPOTENT_POSTGRES")
	if address == "" {
		t.Skip("set IDEMPOTENT_POSTGRES to the address of a PostgreSQL to test with")
	}
	admin, err := sql.Open("pgx", address)
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close()) }()
	for i, run := range []func(t *testing.T, s *natstest.Server, w world){
		func(t *testing.T, s *natstest.Server, w world) { atOnce(t, s, w, inTx) },
		func(t *testing.T, s *natstest.Server, w world) {
			conformance[0].run(t, s, w, func(receiver string) receive {
				r, err := inTx.open(t.Context(), nil, w, receiver, soon)
				require.NoError(t, err)
				return r
			})
		},
	} {
		space := fmt.Sprintf("t%d_%d_%d", os.Getpid(), time.Now().UnixNano(), i)
		_, err = admin.Exec("CREATE SCHEMA " + space)
		require.NoError(t, err)
		db, err := sql.Open("pgx", address+" search_path="+space)
		require.NoError(t, err)
		_, err = db.Exec("CREATE TABLE letters (id TEXT)")
		require.NoError(t, err)
		w := world{db, t}
		run(t, natstest.Start(t), w)
		require.Equal(t, map[string]int{"letter-1": 1}, w.sent())
		require.NoError(t, db.Close())
		_, err = admin.Exec("DROP SCHEMA " + space + " CASCADE")
		require.NoError(t, err)
	}
}
