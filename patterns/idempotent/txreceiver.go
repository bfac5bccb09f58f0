package idempotent

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"
)

// What is said to the database, in words that SQLite and PostgreSQL share.
const (
	createTable = `CREATE TABLE IF NOT EXISTS idempotent_done (
	receiver TEXT NOT NULL, id TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (receiver, id))`
	createIndex  = `CREATE INDEX IF NOT EXISTS idempotent_done_at ON idempotent_done (receiver, at)`
	selectRecord = `SELECT at FROM idempotent_done WHERE receiver = $1 AND id = $2`
	insertRecord = `INSERT INTO idempotent_done (receiver, id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	deleteOld    = `DELETE FROM idempotent_done WHERE receiver = $1 AND at < $2`
)

// TxReceiver records what has been done in the transaction of the effect itself:
// both take place, or neither.
type TxReceiver struct {
	db    *sql.DB
	name  string
	keep  time.Duration
	swept atomic.Int64 // when old records were last deleted
}

// NewTxReceiver returns the receiver called name, and finds or creates its table,
// idempotent_done. Those of one name share their record; another name is another
// effect. The database is SQLite or PostgreSQL, whatever the driver.
func NewTxReceiver(ctx context.Context, db *sql.DB, name string, cfg Config) (*TxReceiver, error) {
	cfg, err := cfg.normal()
	if err == nil {
		err = checkID(name)
	}
	if err == nil && db == nil {
		err = fmt.Errorf("%w: db is nil", ErrConfig)
	}
	if err != nil {
		return nil, err
	}
	r := &TxReceiver{db: db, name: name, keep: cfg.Keep}
	if err = r.probe(ctx); err != nil && !cfg.Bind {
		for _, create := range []string{createTable, createIndex} {
			_, _ = db.ExecContext(ctx, create) // someone else may be quicker: what counts is the probe
		}
		err = r.probe(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("idempotent: table idempotent_done: %w", err)
	}
	return r, nil
}

// probe finds out whether the table is there.
func (r *TxReceiver) probe(ctx context.Context) error {
	rows, err := r.db.QueryContext(ctx, selectRecord, r.name, "")
	if err != nil {
		return err
	}
	return rows.Close()
}

// Once calls effect unless that was done under this id before, and returns whether
// it was done now. What the effect does by tx, and nothing else, is done once: if it
// returns an error or panics, or the commit fails, nothing was done. Of two at once
// the second waits for the first, or fails if the database says that it is busy.
func (r *TxReceiver) Once(ctx context.Context, id string, effect func(ctx context.Context, tx *sql.Tx) error) (done bool, err error) {
	if err := needs(ctx, id, effect != nil); err != nil {
		return false, err
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return false, failed(id, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing once committed
	now := time.Now()
	if err := r.sweep(ctx, tx, now); err != nil {
		return false, failed(id, err)
	}
	made, err := tx.ExecContext(ctx, insertRecord, r.name, id, now.UnixMilli())
	if err != nil {
		return false, failed(id, err)
	}
	n, err := made.RowsAffected()
	if err != nil {
		return false, failed(id, err)
	}
	if n > 0 {
		if err := effect(ctx, tx); err != nil {
			return false, err
		}
	}
	if err := tx.Commit(); err != nil {
		return false, failed(id, err)
	}
	return n > 0, nil
}

// sweep deletes, a few times per Keep, the records that are older, by our own clock.
func (r *TxReceiver) sweep(ctx context.Context, tx *sql.Tx, now time.Time) error {
	last := r.swept.Load()
	if now.UnixMilli()-last < r.keep.Milliseconds()/16 || !r.swept.CompareAndSwap(last, now.UnixMilli()) {
		return nil
	}
	_, err := tx.ExecContext(ctx, deleteOld, r.name, now.Add(-r.keep).UnixMilli())
	return err
}
