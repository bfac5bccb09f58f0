package datapump

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// item is a message on its way into the store.
type item struct {
	row  Row
	err  error // why it is to be diverted
	done bool  // it has been
	msg  jetstream.Msg
}

func (p *Pump) decode(seq uint64, msg jetstream.Msg, diverted map[uint64]bool) *item {
	it := &item{msg: msg, row: Row{Seq: seq}}
	if table := p.tables[msg.Subject()]; table == nil {
		it.err = errors.New("there is no such table here")
	} else {
		it.row, it.err = table.row(seq, msg.Data())
	}
	if diverted[seq] { // once diverted, it stays so, though the store might take it now
		it.err, it.done = errors.New("diverted before"), true
	}
	return it
}

// apply brings items into the store, in order: in one transaction, or, if a row is
// refused, in halves until that one is alone.
func (p *Pump) apply(ctx context.Context, items []*item) error {
	from := p.State().Applied
	to := items[len(items)-1].row.Seq
	rows, of := latest(items)
	for _, it := range items {
		if err := p.divert(ctx, it); err != nil {
			return fmt.Errorf("divert row %d: %w", it.row.Seq, err)
		}
	}
	try, cancel := context.WithTimeout(ctx, p.cfg.Timeout)
	err := p.store.Apply(try, p.id, from, to, rows)
	cancel()
	switch {
	case err == nil:
		p.applied(from, to, items)
		return nil
	case len(rows) == 0 || !errors.Is(err, ErrRow):
		return err
	case len(rows) == 1:
		of[0].err = err
		return p.apply(ctx, items)
	}
	half := len(items) / 2
	if err := p.apply(ctx, items[:half]); err != nil {
		return err
	}
	return p.apply(ctx, items[half:])
}

func (p *Pump) applied(from, to uint64, items []*item) {
	var diverted uint64
	for _, it := range items {
		if it.err != nil {
			diverted++
		}
	}
	n := uint64(len(items))
	missed := to - from - n
	if from == 0 { // a pump that begins, begins with what there is
		missed = to - items[0].row.Seq + 1 - n
	}
	if missed > 0 {
		p.cfg.Log.Error("datapump: rows were removed from the stream before they were applied", "pump", p.id, "rows", missed, "after", from)
	}
	p.resume(func(s *State) {
		s.Applied, s.Rows, s.Diverted, s.Missed = to, s.Rows+n-diverted, s.Diverted+diverted, s.Missed+missed
	})
}

// latest returns the good rows, of those with one key the last, and whose they are.
func latest(items []*item) (rows []Row, of []*item) {
	at := map[string]int{}
	for _, it := range items {
		if it.err != nil {
			continue
		}
		if len(it.row.Table.Key) > 0 {
			key := it.row.key()
			if i, ok := at[key]; ok {
				rows[i], of[i] = it.row, it
				continue
			}
			at[key] = len(rows)
		}
		rows, of = append(rows, it.row), append(of, it)
	}
	return rows, of
}
