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

// patience is how long the answer to a publish is waited for.
const patience = 5 * time.Second

type row struct {
	id, top int64 // of the message, and of the newest when it was read
	lane    string
	msg     *nats.Msg
	bad     error // why it cannot be published
}

// pass publishes what is in the outbox, up to a batch, and reports whether there is
// more.
func (r *Relay) pass(ctx context.Context) (more bool, err error) {
	if r.cfg.Keep > 0 {
		if _, err := r.db.ExecContext(ctx, `DELETE FROM outbox WHERE sent < $1`, time.Now().Add(-r.cfg.Keep).UnixMilli()); err != nil {
			return false, err
		}
	}
	stuck := map[string]bool{}
	for after, top := int64(0), int64(math.MaxInt64); ; { // past those whose keys are held up, or they would hold up all
		rows, sent, err := r.batch(ctx, after, top, stuck)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		if len(stuck) == 0 && sent == len(rows) {
			return true, nil // to begin anew, unless that would try again at once what is held up
		}
		// What was put since the first look may follow, of one key, what was committed
		// late, and lies before it: both are for the next pass.
		after, top = rows[len(rows)-1].id, min(top, rows[0].top)
	}
}

// batch reads messages, publishes them and notes that. What was read too long ago may
// be published already, by another relay, and the stream have forgotten that: so each
// has a quarter of its window, and so have the answers.
func (r *Relay) batch(ctx context.Context, after, top int64, stuck map[string]bool) (rows []row, sent int, err error) {
	fresh, cancel := context.WithTimeout(ctx, r.cfg.Window/4)
	defer cancel()
	rows, err = r.read(fresh, after, top)
	if err != nil {
		return nil, 0, err
	}
	stored, err := r.publish(fresh, rows, stuck)
	note, done := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Window/4) // also when ctx has ended
	defer done()
	return rows, len(stored), errors.Join(err, r.mark(note, stored))
}

// read returns the messages unsent after one and up to top, the oldest first. It must not
// go on from the last one that was sent: a transaction that began earlier may be
// committed later.
func (r *Relay) read(ctx context.Context, after, top int64) (all []row, err error) {
	found, err := r.db.QueryContext(ctx, `SELECT id, (SELECT max(id) FROM outbox), lane, msg_id, subject, header, payload
		FROM outbox WHERE sent IS NULL AND id > $1 AND id <= $2 ORDER BY id LIMIT $3`, after, top, r.cfg.Batch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var id, header string
		o := row{msg: &nats.Msg{}}
		if err := found.Scan(&o.id, &o.top, &o.lane, &id, &o.msg.Subject, &header, &o.msg.Data); err != nil {
			return nil, err
		}
		o.bad = json.Unmarshal([]byte(header), &o.msg.Header)
		if o.msg.Header == nil {
			o.msg.Header = nats.Header{}
		}
		o.msg.Header.Set(jetstream.MsgIDHeader, id)
		if o.lane == "" {
			o.lane = "\x00" + id // no order: in a lane of its own
		}
		all = append(all, o)
	}
	return all, found.Err()
}

// publish publishes rows, of each lane one at a time, and returns those stored. A lane
// whose message is not stored is stuck for this pass.
func (r *Relay) publish(ctx context.Context, rows []row, stuck map[string]bool) (stored []row, err error) {
	type flight struct {
		row
		ack jetstream.PubAckFuture
	}
	for len(rows) > 0 && err == nil {
		if err := ctx.Err(); err != nil {
			return stored, fmt.Errorf("%d messages left: %w", len(rows), err)
		}
		var flying []flight
		var rest []row
		busy := map[string]bool{}
		for _, o := range rows {
			switch {
			case stuck[o.lane] || err != nil:
			case busy[o.lane]:
				rest = append(rest, o)
			case o.bad != nil:
				r.fail(o, o.bad, stuck)
			case !r.nc.IsConnected(): // or it would be sent when the line is back, long after another relay has
				err = nats.ErrDisconnected
			default:
				busy[o.lane] = true
				ack, err := r.js.PublishMsgAsync(o.msg)
				if err != nil {
					r.fail(o, err, stuck)
					continue
				}
				flying = append(flying, flight{o, ack})
			}
		}
		wait := min(patience, r.cfg.Window/4)
		late := time.NewTimer(wait)
		for _, f := range flying {
			select {
			case <-f.ack.Ok():
				stored = append(stored, f.row)
			case err := <-f.ack.Err():
				r.fail(f.row, err, stuck)
			case <-late.C:
				return stored, fmt.Errorf("no answer within %v", wait)
			}
		}
		late.Stop()
		rows = rest
	}
	return stored, err
}

func (r *Relay) fail(o row, err error, stuck map[string]bool) {
	stuck[o.lane] = true
	r.cfg.Log.Error("outbox: not published", "relay", r.name, "id", o.id, "subject", o.msg.Subject, "err", err)
}

// mark forgets what was published, or notes that it was.
func (r *Relay) mark(ctx context.Context, sent []row) error {
	if len(sent) == 0 {
		return nil
	}
	marks, ids := make([]string, len(sent)), make([]any, len(sent))
	for i, o := range sent {
		marks[i], ids[i] = fmt.Sprintf("$%d", i+1), o.id
	}
	them := ` WHERE id IN (` + strings.Join(marks, ",") + `)`
	statement := `DELETE FROM outbox` + them
	if r.cfg.Keep > 0 {
		statement = fmt.Sprintf(`UPDATE outbox SET sent = %d`, time.Now().UnixMilli()) + them
	}
	_, err := r.db.ExecContext(ctx, statement, ids...)
	return err
}
