package outbox_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/natspatterns/catalog/internal/natstest"
	"github.com/natspatterns/catalog/patterns/outbox"
)

// writer stores an order and publishes its event, or crashes between the two.
type writer func(ctx context.Context, db *sql.DB, js jetstream.JetStream, id string, crash bool) error

var writers = map[string]writer{
	"outbox": func(ctx context.Context, db *sql.DB, _ jetstream.JetStream, id string, crash bool) error {
		if err := place(ctx, db, "ann", id); err != nil || crash {
			return err // before it could notify
		}
		return nil
	},
	"commit first": func(ctx context.Context, db *sql.DB, js jetstream.JetStream, id string, crash bool) error {
		if _, err := db.ExecContext(ctx, orderOf, id); err != nil || crash {
			return err
		}
		_, err := js.Publish(ctx, "events.ann", []byte(id))
		return err
	},
	"publish first": func(ctx context.Context, db *sql.DB, js jetstream.JetStream, id string, crash bool) error {
		if _, err := js.Publish(ctx, "events.ann", []byte(id)); err != nil || crash {
			return err
		}
		_, err := db.ExecContext(ctx, orderOf, id)
		return err
	},
}

const orderOf = `INSERT INTO orders (id) VALUES ($1)`

// The dual write, in both orders: of 100 orders, the writers of ten crash between their
// two writes. Ten orders have no event, or ten events have no order.
func TestDualWrite(t *testing.T) {
	for name, want := range map[string][2]int{"outbox": {0, 0}, "commit first": {10, 0}, "publish first": {0, 10}} {
		t.Run(name, func(t *testing.T) {
			natstest.Bubble(t, func(t *testing.T, s *natstest.Server) {
				js, db := s.JetStream("shop"), sqlite(t)
				events(t, js)
				stop := relay(t, db, s.Connect("relay"), outbox.Config{})
				for i, id := range ids(100) {
					require.NoError(t, writers[name](t.Context(), db, js, id, i%10 == 3))
				}
				time.Sleep(5 * time.Second)
				unpublished, phantom := compare(t, db, stored(t, js))
				require.Equal(t, want, [2]int{unpublished, phantom})
				require.NoError(t, stop())
			})
		})
	}
}

// compare counts the orders without an event, and the events without an order.
func compare(t *testing.T, db *sql.DB, events []string) (unpublished, phantom int) {
	t.Helper()
	seen := map[string]bool{}
	for _, id := range events {
		seen[id] = true
		var n int
		require.NoError(t, db.QueryRow(`SELECT count(*) FROM orders WHERE id = $1`, id).Scan(&n))
		phantom += 1 - n
	}
	var all int
	require.NoError(t, db.QueryRow(`SELECT count(*) FROM orders`).Scan(&all))
	return all - (len(seen) - phantom), phantom
}

func take(t *testing.T, db *sql.DB, id string) int {
	t.Helper()
	tx, err := db.Begin()
	require.NoError(t, err)
	first, err := outbox.Take(t.Context(), tx, "mailer", id)
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	if first {
		return 1
	}
	return 0
}

// Ten deliveries have one effect. A rollback records nothing. Each reader has its own
// records. After Clean, a message takes effect again.
func TestInbox(t *testing.T) {
	each(t, func(t *testing.T, _ *natstest.Server, db *sql.DB) {
		ctx := t.Context()
		tx, err := db.Begin()
		require.NoError(t, err)
		first, err := outbox.Take(ctx, tx, "mailer", "m-1")
		require.NoError(t, err)
		require.True(t, first)
		require.NoError(t, tx.Rollback())
		effects := 0
		for range 10 {
			effects += take(t, db, "m-1")
		}
		require.Equal(t, 1, effects)
		tx, err = db.Begin()
		require.NoError(t, err)
		first, err = outbox.Take(ctx, tx, "printer", "m-1")
		require.NoError(t, err)
		require.True(t, first)
		require.NoError(t, tx.Commit())
		n, err := outbox.Clean(ctx, db, time.Hour)
		require.NoError(t, err)
		require.Zero(t, n)
		time.Sleep(2 * time.Hour)
		n, err = outbox.Clean(ctx, db, time.Hour)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		require.Equal(t, 1, take(t, db, "m-1"))
	})
}
