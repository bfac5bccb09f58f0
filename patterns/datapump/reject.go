package datapump

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of a rejected row, beside its own headers and payload.
const (
	HeaderReason    = "Pump-Reason"
	HeaderTable     = "Pump-Table"
	HeaderSequence  = "Pump-Sequence"  // of the row in its stream
	HeaderTruncated = "Pump-Truncated" // set if headers and payload did not fit; read the row by its sequence
)

func (p *Pump) rejectedSubject(seq string) string { return p.name + ".rejected." + p.id + "." + seq }

// reject stores an invalid row in the stream of rejected rows. This comes before the
// position is moved, so the row is not lost. Its subject takes one message only, so a
// retry does not store it twice.
func (p *Pump) reject(ctx context.Context, it *item) error {
	if it.err == nil || it.rejected {
		return nil
	}
	seq := strconv.FormatUint(it.row.Sequence, 10)
	msg := &nats.Msg{Subject: p.rejectedSubject(seq), Header: copyHeader(it.msg.Headers(), "Pump-"), Data: it.msg.Data()}
	const maxHeader, headroom = 64 << 10, 2048 // the server's limit, and what the headers below need
	if header := msg.Size() - len(msg.Data); header > maxHeader-headroom || int64(msg.Size()) > p.js.Conn().MaxPayload()-headroom {
		msg.Header, msg.Data = nats.Header{HeaderTruncated: {"true"}}, nil
	}
	msg.Header.Set(HeaderReason, errorText(it.err))
	msg.Header.Set(HeaderTable, fmt.Sprintf("%.64s", strings.TrimPrefix(it.msg.Subject(), p.name+".row."))) // another token can have kilobytes
	msg.Header.Set(HeaderSequence, seq)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := p.js.PublishMsg(ctx, msg, jetstream.WithExpectLastSequencePerSubject(0))
	if err != nil && apiCode(err) != jetstream.JSErrCodeStreamWrongLastSequence { // not isConflict: it is true also while a copy is in process
		return fmt.Errorf("reject row %s: %w", seq, err)
	}
	it.rejected = true
	p.cfg.Log.Warn("datapump: rejected a row", "pump", p.id, "seq", it.row.Sequence, "err", it.err)
	return nil
}

// rejectedAfter returns the sequences of rejected rows after a position. Its cost grows
// with the number of rows that this pump ever rejected.
func (p *Pump) rejectedAfter(ctx context.Context, position uint64) (map[uint64]bool, error) {
	info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		s, err := p.js.Stream(ctx, strings.ToUpper(p.name)+"_REJECTED")
		if err != nil {
			return nil, err
		}
		return s.Info(ctx, jetstream.WithSubjectFilter(p.rejectedSubject("*")))
	})
	if err != nil {
		return nil, err
	}
	rejected := map[uint64]bool{}
	for subject := range info.State.Subjects {
		seq, err := strconv.ParseUint(strings.TrimPrefix(subject, p.rejectedSubject("")), 10, 64)
		if err == nil && seq > position {
			rejected[seq] = true
		}
	}
	return rejected, nil
}
