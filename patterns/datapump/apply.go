package datapump

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// item is a message on its way to the store.
type item struct {
	msg      jetstream.Msg
	row      Row
	err      error // why the row is invalid
	rejected bool  // it is in the stream of rejected rows
}

func (p *Pump) newItem(seq uint64, msg jetstream.Msg, rejected bool) *item {
	it := &item{msg: msg, row: Row{Sequence: seq}, rejected: rejected}
	table := p.tables[msg.Subject()]
	switch {
	case rejected: // it stays so, even if the store would accept it now
		it.err = errors.New("the row was rejected before")
	case table == nil:
		it.err = errors.New("the pump has no such table")
	default:
		it.row, it.err = NewRow(table, seq, msg.Data())
	}
	return it
}

// apply writes items to the store in one transaction. If the store refuses a row,
// apply halves the items until that row is alone, and rejects it.
func (p *Pump) apply(ctx context.Context, items []*item) error {
	var rows []Row
	var last *item // of rows
	for _, it := range items {
		if it.err == nil {
			rows, last = append(rows, it.row), it
		} else if err := p.reject(ctx, it); err != nil {
			return err
		}
	}
	from, to := p.State().Position, items[len(items)-1].row.Sequence
	transaction, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	err := p.store.Apply(transaction, p.id, from, to, rows)
	cancel()
	switch {
	case err == nil:
		p.applied(from, items, len(rows))
		return nil
	case len(rows) == 0 || !errors.Is(err, ErrInvalidRow):
		return err
	case len(rows) == 1:
		last.err = err
		return p.apply(ctx, items)
	}
	half := len(items) / 2
	if err := p.apply(ctx, items[:half]); err != nil {
		return err
	}
	return p.apply(ctx, items[half:])
}

// applied counts items, and the messages after from that are not among them.
func (p *Pump) applied(from uint64, items []*item, rows int) {
	to := items[len(items)-1].row.Sequence
	if from == 0 { // a new pump starts at the first message that is in the stream
		from = items[0].row.Sequence - 1
	}
	missed := to - from - uint64(len(items))
	if missed > 0 {
		p.cfg.Log.Error("datapump: rows were removed from the stream before they were applied", "pump", p.id, "rows", missed, "after", from)
	}
	p.update(func(s *State) {
		if s.Paused != nil {
			p.cfg.Log.Info("datapump: resumed", "pump", p.id)
		}
		*s = State{Position: to, Rows: s.Rows + uint64(rows), Rejected: s.Rejected + uint64(len(items)-rows), Missed: s.Missed + missed}
	})
}
