package idempotent

import (
	"context"
	"database/sql"
	"fmt"
	"sync/atomic"
	"time"
)

// The SQL is valid for SQLite and for PostgreSQL.
const (
	createTable = `CREATE TABLE IF NOT EXISTS idempotent_done (
	receiver TEXT NOT NULL, id TEXT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (receiver, id))`
	createIndex   = `CREATE INDEX IF NOT EXISTS idempotent_done_at ON idempotent_done (receiver, at)`
	selectRecord  = `SELECT at FROM idempotent_done WHERE receiver = $1 AND id = $2`
	insertRecord  = `INSERT INTO idempotent_done (receiver, id, at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`
	deleteRecords = `DELETE FROM idempotent_done WHERE receiver = $1 AND at < $2`
)

// TxReceiver records in the transaction of the effect which messages are done. The
// database stores both or neither.
type TxReceiver struct {
	db      *sql.DB
	name    string
	maxAge  time.Duration
	deleted atomic.Int64 // when old records were last deleted, in Unix milliseconds
}

// NewTxReceiver returns the receiver name, and finds or creates the table
// idempotent_done. Receivers with the same name share their records. The database is
// SQLite or PostgreSQL, with any driver.
func NewTxReceiver(ctx context.Context, db *sql.DB, name string, cfg Config) (*TxReceiver, error) {
	cfg, err := cfg.normal()
	if err != nil {
		return nil, err
	}
	if err := checkID(name); err != nil {
		return nil, err
	}
	if db == nil {
		return nil, fmt.Errorf("%w: receiver %s: db is nil", ErrConfig, name)
	}
	r := &TxReceiver{db: db, name: name, maxAge: cfg.MaxAge}
	err = r.readTable(ctx)
	if err != nil && !cfg.Bind {
		_, _ = db.ExecContext(ctx, createTable) // can fail if another process creates it: readTable decides
		_, _ = db.ExecContext(ctx, createIndex)
		err = r.readTable(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("idempotent: receiver %s: table idempotent_done: %w", name, err)
	}
	return r, nil
}

// readTable returns an error if the table cannot be read.
func (r *TxReceiver) readTable(ctx context.Context) error {
	rows, err := r.db.QueryContext(ctx, selectRecord, r.name, "")
	if err != nil {
		return err
	}
	return rows.Close()
}

// Once calls effect unless the message id is done, and returns whether the effect took
// place now. What effect writes with tx takes place once. If effect returns an error or
// panics, or if the commit fails, nothing is stored, and the message is free for a
// retry. A concurrent call for the same id waits for the first one, or returns the
// database's error that it is busy.
func (r *TxReceiver) Once(ctx context.Context, id string, effect func(ctx context.Context, tx *sql.Tx) error) (done bool, err error) {
	if err := checkArguments(ctx, id, "effect", effect == nil); err != nil {
		return false, err
	}
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return false, wrap(id, err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	isNew, err := r.record(ctx, tx, id)
	if err != nil {
		return false, wrap(id, err)
	}
	if isNew {
		if err := effect(ctx, tx); err != nil {
			return false, err
		}
	}
	if err := tx.Commit(); err != nil {
		return false, wrap(id, err)
	}
	return isNew, nil
}

// record inserts the record of id, and returns whether there was none. It also deletes
// old records, 16 times per MaxAge, by the clock of this process.
func (r *TxReceiver) record(ctx context.Context, tx *sql.Tx, id string) (isNew bool, err error) {
	now := time.Now()
	last := r.deleted.Load()
	if now.UnixMilli()-last >= r.maxAge.Milliseconds()/16 && r.deleted.CompareAndSwap(last, now.UnixMilli()) {
		if _, err := tx.ExecContext(ctx, deleteRecords, r.name, now.Add(-r.maxAge).UnixMilli()); err != nil {
			return false, err
		}
	}
	inserted, err := tx.ExecContext(ctx, insertRecord, r.name, id, now.UnixMilli())
	if err != nil {
		return false, err
	}
	rows, err := inserted.RowsAffected()
	return rows > 0, err
}
