package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is how long the answer to a publish is waited for.
const patience = 5 * time.Second

type row struct {
	id   int64
	lane string
	msg  *nats.Msg
}

// pass publishes what is in the outbox, up to a batch, and reports whether there is
// more.
func (r *Relay) pass(ctx context.Context) (more bool, err error) {
	// What was read too long ago may be published already, by another relay, and the
	// stream have forgotten that: half its window is enough for all answers to come.
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Window/2)
	defer cancel()
	settle, done := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Window/2) // also when ctx ends
	defer done()
	if r.cfg.Keep > 0 {
		if _, err := r.db.ExecContext(ctx, `DELETE FROM outbox WHERE sent < $1`, time.Now().Add(-r.cfg.Keep).UnixMilli()); err != nil {
			return false, err
		}
	}
	stuck := map[string]bool{}
	for after := int64(0); ; { // past those whose keys are held up, or they would hold up all
		rows, err := r.read(ctx, after)
		if err != nil || len(rows) == 0 {
			return false, err
		}
		sent, err := r.publish(ctx, rows, stuck)
		if fail := r.mark(settle, sent); err != nil || fail != nil {
			return false, errors.Join(err, fail)
		}
		if len(stuck) == 0 && len(sent) == len(rows) || ctx.Err() != nil {
			return true, nil // to begin anew, unless that would try again at once what is held up
		}
		after = rows[len(rows)-1].id
	}
}

// read returns the messages unsent after one, the oldest first. It must not go on from
// the last one that was sent: a transaction that began earlier may be committed later.
func (r *Relay) read(ctx context.Context, after int64) (all []row, err error) {
	found, err := r.db.QueryContext(ctx, `SELECT id, lane, msg_id, subject, header, payload FROM outbox WHERE sent IS NULL AND id > $1 ORDER BY id LIMIT $2`, after, r.cfg.Batch)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var id, header string
		o := row{msg: &nats.Msg{}}
		if err := found.Scan(&o.id, &o.lane, &id, &o.msg.Subject, &header, &o.msg.Data); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(header), &o.msg.Header); err != nil {
			return nil, fmt.Errorf("message %d: header: %w", o.id, err)
		}
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
	for len(rows) > 0 && ctx.Err() == nil {
		var flying []flight
		var rest []row
		busy := map[string]bool{}
		for _, o := range rows {
			switch {
			case stuck[o.lane]:
			case busy[o.lane]:
				rest = append(rest, o)
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
		late := time.NewTimer(patience)
		for _, f := range flying {
			select {
			case <-f.ack.Ok():
				stored = append(stored, f.row)
			case err := <-f.ack.Err():
				r.fail(f.row, err, stuck)
			case <-late.C:
				return stored, fmt.Errorf("no answer within %v", patience)
			}
		}
		late.Stop()
		rows = rest
	}
	return stored, nil
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
