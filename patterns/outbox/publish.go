package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxAckWait bounds the wait for the ack of a publish.
const maxAckWait = 5 * time.Second

// row is a row of the outbox.
type row struct {
	id    int64
	maxID int64 // of the table when the row was read
	key   string
	msg   *nats.Msg
	bad   error // why it cannot be published
}

// publishAll publishes the rows of the outbox, and reports whether there may be more.
// It goes past rows whose key is blocked; otherwise they would block all keys.
func (r *Relay) publishAll(ctx context.Context) (more bool, err error) {
	if r.cfg.MaxAge > 0 {
		if _, err := r.db.ExecContext(ctx, `DELETE FROM outbox WHERE published < $1`, time.Now().Add(-r.cfg.MaxAge).UnixMilli()); err != nil {
			return false, err
		}
	}
	blocked := map[string]bool{}
	for after, maxID := int64(0), int64(math.MaxInt64); ; {
		rows, published, err := r.publishBatch(ctx, after, maxID, blocked)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		if len(blocked) == 0 && published == len(rows) {
			return true, nil // start again at the first row; with a blocked key this would retry it at once
		}
		// Rows inserted since the first read could follow, in one key, a row that
		// committed late and lies before them. Both are for the next call.
		after, maxID = rows[len(rows)-1].id, min(maxID, rows[0].maxID)
	}
}

// publishBatch reads rows, publishes them, and marks them. If a row was read too long
// ago, another relay may have published it, and the stream may have forgotten its ID.
// So reading and publishing take at most a quarter of the duplicate window, and
// marking another.
func (r *Relay) publishBatch(ctx context.Context, after, maxID int64, blocked map[string]bool) (rows []row, published int, err error) {
	fresh, cancel := context.WithTimeout(ctx, r.cfg.Duplicates/4)
	defer cancel()
	rows, err = r.read(fresh, after, maxID)
	if err != nil {
		return nil, 0, err
	}
	stored, err := r.publish(fresh, rows, blocked)
	mark, done := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Duplicates/4) // also after ctx has ended
	defer done()
	return rows, len(stored), errors.Join(err, r.mark(mark, stored))
}

// read returns unpublished rows with IDs above after and up to maxID, in order. It must
// not continue after the last published row: a transaction that began earlier may
// commit later.
func (r *Relay) read(ctx context.Context, after, maxID int64) (rows []row, err error) {
	found, err := r.db.QueryContext(ctx, `SELECT id, (SELECT max(id) FROM outbox), msg_key, msg_id, subject, header, payload
		FROM outbox WHERE published IS NULL AND id > $1 AND id <= $2 ORDER BY id LIMIT $3`, after, maxID, r.cfg.Batch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var id, header string
		o := row{msg: &nats.Msg{}}
		if err := found.Scan(&o.id, &o.maxID, &o.key, &id, &o.msg.Subject, &header, &o.msg.Data); err != nil {
			return nil, err
		}
		o.bad = json.Unmarshal([]byte(header), &o.msg.Header)
		if o.msg.Header == nil {
			o.msg.Header = nats.Header{}
		}
		o.msg.Header.Set(jetstream.MsgIDHeader, id)
		if o.key == "" {
			o.key = "\x00" + id // no order: a key of its own
		}
		rows = append(rows, o)
	}
	return rows, found.Err()
}

// inFlight is a row that waits for its ack.
type inFlight struct {
	row
	ack jetstream.PubAckFuture
}

// publish publishes rows, one at a time of each key, and returns the rows that are
// stored. A key whose row is not stored is blocked.
func (r *Relay) publish(ctx context.Context, rows []row, blocked map[string]bool) (stored []row, err error) {
	for len(rows) > 0 {
		if err := ctx.Err(); err != nil {
			return stored, fmt.Errorf("%d messages are not published: %w", len(rows), err)
		}
		sent, rest, sendErr := r.send(rows, blocked)
		acked, ackErr := r.awaitAcks(sent, blocked)
		stored = append(stored, acked...)
		if err := errors.Join(sendErr, ackErr); err != nil {
			return stored, err
		}
		rows = rest
	}
	return stored, nil
}

// send publishes the first row of each key, and returns the following ones as rest. It
// sends nothing while disconnected: nats.go would send it after the reconnect, when
// another relay may have published it long ago.
func (r *Relay) send(rows []row, blocked map[string]bool) (sent []inFlight, rest []row, err error) {
	busy := map[string]bool{}
	for _, o := range rows {
		switch {
		case blocked[o.key]:
		case busy[o.key]:
			rest = append(rest, o)
		case o.bad != nil:
			r.block(o, o.bad, blocked)
		case !r.nc.IsConnected():
			return sent, nil, nats.ErrDisconnected
		default:
			busy[o.key] = true
			ack, err := r.js.PublishMsgAsync(o.msg)
			if err != nil {
				r.block(o, err, blocked)
				continue
			}
			sent = append(sent, inFlight{o, ack})
		}
	}
	return sent, rest, nil
}

// awaitAcks returns the rows that are acknowledged.
func (r *Relay) awaitAcks(sent []inFlight, blocked map[string]bool) (acked []row, err error) {
	wait := min(maxAckWait, r.cfg.Duplicates/4)
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for _, f := range sent {
		select {
		case <-f.ack.Ok():
			acked = append(acked, f.row)
		case err := <-f.ack.Err():
			r.block(f.row, err, blocked)
		case <-timeout.C:
			return acked, fmt.Errorf("no ack within %v", wait)
		}
	}
	return acked, nil
}

// block stops publishing the key of a row until the next call of publishAll.
func (r *Relay) block(o row, err error, blocked map[string]bool) {
	blocked[o.key] = true
	r.cfg.Log.Error("outbox: message not published; it blocks its key", "relay", r.name, "row", o.id, "subject", o.msg.Subject, "err", err)
}

// mark deletes published rows, or marks them as published.
func (r *Relay) mark(ctx context.Context, published []row) error {
	if len(published) == 0 {
		return nil
	}
	params, ids := make([]string, len(published)), make([]any, len(published))
	for i, o := range published {
		params[i], ids[i] = fmt.Sprintf("$%d", i+1), o.id
	}
	where := ` WHERE id IN (` + strings.Join(params, ",") + `)`
	statement := `DELETE FROM outbox` + where
	if r.cfg.MaxAge > 0 {
		statement = fmt.Sprintf(`UPDATE outbox SET published = %d`, time.Now().UnixMilli()) + where
	}
	_, err := r.db.ExecContext(ctx, statement, ids...)
	return err
}
