package datapump

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of a diverted row, beside its body as it came.
const (
	ReasonHeader   = "Reason"
	TableHeader    = "Table"
	SequenceHeader = "Sequence" // of the row in its stream
	CutHeader      = "Cut"      // set when the body had no room; fetch it by Sequence
)

func (p *Pump) divertedAs(seq any) string { return fmt.Sprintf("%s.diverted.%s.%v", p.name, p.id, seq) }

// divert puts a bad row where people look, before its sequence is applied: so it is
// not lost. Its subject can be written once: so it is not doubled.
func (p *Pump) divert(ctx context.Context, it *item) error {
	if it.err == nil || it.done {
		return nil
	}
	msg := nats.NewMsg(p.divertedAs(it.row.Seq))
	msg.Data = it.msg.Data()
	msg.Header.Set(ReasonHeader, fmt.Sprintf("%.400s", strings.Join(strings.Fields(it.err.Error()), " ")))
	msg.Header.Set(TableHeader, it.msg.Subject()[strings.LastIndexByte(it.msg.Subject(), '.')+1:])
	msg.Header.Set(SequenceHeader, fmt.Sprint(it.row.Seq))
	if fits(p.js.Conn(), len(msg.Data)) != nil {
		msg.Data = nil
		msg.Header.Set(CutHeader, "true")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := p.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(0)); err != nil && !isConflict(err) {
		return err
	}
	it.done = true
	p.cfg.Log.Warn("datapump: diverted", "pump", p.id, "seq", it.row.Seq, "err", it.err)
	return nil
}

// divertedAfter returns what was diverted and may not have been applied since. It
// costs a look at all that this pump has diverted, once each time it begins.
func (p *Pump) divertedAfter(ctx context.Context, at uint64) (map[uint64]bool, error) {
	info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		s, err := p.js.Stream(ctx, strings.ToUpper(p.name)+"_DIVERTED")
		if err != nil {
			return nil, err
		}
		return s.Info(ctx, jetstream.WithSubjectFilter(p.divertedAs("*")))
	})
	if err != nil {
		return nil, err
	}
	seqs := map[uint64]bool{}
	for subject := range info.State.Subjects {
		var seq uint64
		if _, err := fmt.Sscan(subject[strings.LastIndexByte(subject, '.')+1:], &seq); err == nil && seq > at {
			seqs[seq] = true
		}
	}
	return seqs, nil
}
