package outbox

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Take records in tx that reader has handled the message id. It returns false if the
// message was handled before. Apply the effect of the message in the same tx, and ack
// after the commit: however often the message is delivered, it takes effect once.
func Take(ctx context.Context, tx *sql.Tx, reader, id string) (first bool, err error) {
	if err := checkID(reader); err != nil {
		return false, err
	}
	if id == "" {
		return false, fmt.Errorf("%w: it has no ID; set Nats-Msg-Id", ErrMessage)
	}
	inserted, err := tx.ExecContext(ctx, `INSERT INTO inbox (reader, msg_id, taken) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, reader, id, time.Now().UnixMilli())
	if err != nil {
		return false, fmt.Errorf("outbox: take %s: %w", id, err)
	}
	n, err := inserted.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("outbox: take %s: %w", id, err)
	}
	return n == 1, nil
}

// Clean deletes inbox records older than maxAge, and returns their number. A message
// that is delivered again after that takes effect again.
func Clean(ctx context.Context, db *sql.DB, maxAge time.Duration) (int64, error) {
	deleted, err := db.ExecContext(ctx, `DELETE FROM inbox WHERE taken < $1`, time.Now().Add(-maxAge).UnixMilli())
	if err != nil {
		return 0, fmt.Errorf("outbox: clean the inbox: %w", err)
	}
	return deleted.RowsAffected()
}
