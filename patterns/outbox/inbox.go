package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Take is the inbox, the mirror of [Put]: it notes in tx that reader has taken the
// message called id, and reports false if it had already. Do what the message asks for
// in the same tx and acknowledge it after the commit: however often it is delivered,
// it takes effect once.
func Take(ctx context.Context, tx *sql.Tx, reader, id string) (fresh bool, err error) {
	if err := checkID(reader); err != nil {
		return false, err
	}
	if id == "" {
		return false, fmt.Errorf("%w: it has no id to know it by", ErrMessage)
	}
	done, err := tx.ExecContext(ctx, `INSERT INTO inbox (reader, msg_id, taken) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, reader, id, time.Now().UnixMilli())
	var n int64
	if err == nil {
		n, err = done.RowsAffected()
	}
	if err != nil {
		return false, fmt.Errorf("outbox: take %s: %w", id, err)
	}
	return n == 1, nil
}

// Clean forgets what was taken longer ago than keep, and returns how many. What comes
// again after that takes effect again.
func Clean(ctx context.Context, db *sql.DB, keep time.Duration) (int64, error) {
	done, err := db.ExecContext(ctx, `DELETE FROM inbox WHERE taken < $1`, time.Now().Add(-keep).UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("outbox: clean the inbox: %w", err)
	}
	return done.RowsAffected()
}
