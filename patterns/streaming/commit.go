package streaming

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// position is how far a Processor has come. Each commit stores it.
type position struct {
	Seq       uint64    `json:"seq"`       // of the last processed event in the feed
	Watermark time.Time `json:"watermark"` // windows that end here or before are closed
	Counts    Counts    `json:"counts"`
}

// Counts is the number of events of a flow, each counted once, by what became of them.
type Counts struct {
	Added   uint64 `json:"added"`   // to a window
	Skipped uint64 `json:"skipped"` // by Clean
	Refused uint64 `json:"refused"` // late, undecodable, or by Clean or Add
	Missed  uint64 `json:"missed"`  // removed from the feed before they were read
}

// commit closes windows. It stores the results, the changed windows and the
// position all or none, in as many commits as needed: no result is lost or stored twice.
func (p *Processor[In, Out]) commit(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = p.agg.closeWindows(); err != nil {
			return err
		}
		msgs := p.agg.out
		for _, subject := range slices.Sorted(maps.Keys(p.agg.changed)) {
			msgs = append(msgs, newState(subject, p.agg.changed[subject]))
		}
		if len(msgs) == 0 && p.agg.at.Seq == p.agg.committed {
			return nil
		}
		if err := p.publishCommit(ctx, msgs); err != nil {
			return err
		}
		p.agg.out, p.agg.size, p.agg.committed = nil, 0, p.agg.at.Seq
		clear(p.agg.changed)
	}
	return nil
}

// publishCommit publishes msgs and the position until they are stored. The server
// refuses them if the stored position is not the one that this Processor stored last.
func (p *Processor[In, Out]) publishCommit(ctx context.Context, msgs []*nats.Msg) error {
	data, err := json.Marshal(p.agg.at)
	if err != nil {
		return err
	}
	id, msg := rand.Text(), newState(p.positionSubject, data)
	msg.Header.Set(HeaderCommit, id)
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(p.positionSeq, 10))
	msgs = append(msgs, msg)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		seq, err := publishBatch(attempt, p.js.Conn(), msgs, false) // it has one open batch at a time
		done()
		if err == nil {
			p.positionSeq = seq
			return nil
		}
		if errors.Is(err, nats.ErrMaxPayload) || ctx.Err() != nil {
			return err
		}
		stored, fatal := p.resolveCommit(ctx, id)
		if stored || fatal != nil {
			return fatal
		}
		p.agg.cfg.Log.Warn("streaming: a commit failed and is retried", "flow", p.agg.name, "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// resolveCommit reports whether the commit is stored whose ack is missing. It returns an
// error if another Processor has taken over, or if no retry can help.
func (p *Processor[In, Out]) resolveCommit(ctx context.Context, id string) (stored bool, err error) {
	_, commit, seq, err := p.readPosition(ctx)
	switch {
	case isGone(err):
		return false, err
	case err != nil: // unknown until the next attempt
		return false, nil
	case commit == id:
		p.positionSeq = seq
		return true, nil
	case seq != p.positionSeq:
		return false, ErrFenced
	}
	return false, nil
}

// readPosition reads the last commit from the leader of the stream; zeros if there is none.
func (p *Processor[In, Out]) readPosition(ctx context.Context) (at position, commit string, seq uint64, err error) {
	msg, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return p.results.GetLastMsgForSubject(ctx, p.positionSubject)
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return at, "", 0, nil
	}
	if err != nil {
		return at, "", 0, err
	}
	return at, msg.Header.Get(HeaderCommit), msg.Sequence, json.Unmarshal(msg.Data, &at)
}

// newState returns a message that replaces the one before it on its subject. It does not
// expire with the MaxAge of the stream; without data, it expires after one minute.
func newState(subject string, data []byte) *nats.Msg {
	ttl := "never"
	if data == nil {
		ttl = "60s"
	}
	header := nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}, jetstream.MsgTTLHeader: {ttl}}
	return &nats.Msg{Subject: subject, Header: header, Data: data}
}
