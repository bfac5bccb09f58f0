package streaming

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// commit stores, all or nothing, the results, the windows they leave and the
// position: so none of them can be lost, or done again, without the others.
func (p *Processor[In, Out]) commit(ctx context.Context) error {
	msgs := p.books.out
	for _, subject := range slices.Sorted(maps.Keys(p.books.dirty)) {
		msg := state(subject)
		if msg.Data = p.books.dirty[subject]; msg.Data == nil {
			msg.Header.Set(jetstream.MsgTTLHeader, "60s") // a tombstone need not stay
		}
		msgs = append(msgs, msg)
	}
	if err := p.settle(ctx, msgs); err != nil {
		return err
	}
	p.books.out, p.books.size, p.books.done = nil, 0, p.books.at.Seq
	clear(p.books.dirty)
	return nil
}

// settle publishes a commit until it is known to be stored. When no answer comes,
// the stored position tells: it is ours, or as it was, or another's.
func (p *Processor[In, Out]) settle(ctx context.Context, msgs []*nats.Msg) error {
	data, err := json.Marshal(p.books.at)
	if err != nil {
		return err
	}
	mine := rand.Text()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		msg := state(p.where)
		msg.Data = data
		msg.Header.Set(headerCommit, mine)
		msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(p.rev, 10))
		seq, err := publish(ctx, p.js.Conn(), append(msgs[:len(msgs):len(msgs)], msg))
		if err == nil {
			p.rev = seq
			return nil
		}
		if errors.Is(err, nats.ErrMaxPayload) || ctx.Err() != nil {
			return err
		}
		_, commit, rev, unknown := p.last(ctx)
		switch {
		case final(unknown):
			return unknown
		case unknown != nil:
		case commit == mine:
			p.rev = rev
			return nil
		case rev != p.rev:
			return ErrFenced
		}
		p.cfg.Log.Warn("streaming: a commit has to wait", "flow", p.books.name, "err", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// headerCommit tells one commit of one Processor from all others.
const headerCommit = "Streaming-Commit"

// last reads the stored position from the stream's leader.
func (p *Processor[In, Out]) last(ctx context.Context) (at position, commit string, rev uint64, err error) {
	msg, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return p.results.GetLastMsgForSubject(ctx, p.where)
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return at, "", 0, nil
	}
	if err == nil {
		commit, rev, err = msg.Header.Get(headerCommit), msg.Sequence, json.Unmarshal(msg.Data, &at)
	}
	return at, commit, rev, err
}

// state is a message that replaces the one before it on its subject, and is not
// subject to the stream's MaxAge.
func state(subject string) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	msg.Header.Set(jetstream.MsgTTLHeader, "never")
	return msg
}

// refusal is an event as it came, with the reason why it does not count.
func (b *books[In, Out]) refusal(from jetstream.Msg, key string, reason error) *nats.Msg {
	if checkID(key) != nil {
		key = "unknown"
	}
	msg := nats.NewMsg("refused." + b.name + "." + key)
	msg.Header.Set("Reason", strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, fmt.Sprintf("%.500s", reason)))
	msg.Header.Set("Feed-Subject", fmt.Sprintf("%.200s", from.Subject()))
	msg.Header.Set("Feed-Sequence", strconv.FormatUint(b.at.Seq, 10))
	if msg.Data = from.Data(); len(msg.Data) > b.limit {
		msg.Data = nil // it is in the feed
	}
	return msg
}

// publish stores msgs in one stream, all or none, and returns the sequence of the
// last of them. One message needs no batch.
func publish(ctx context.Context, nc *nats.Conn, msgs []*nats.Msg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	last, batch := len(msgs)-1, rand.Text()
	for i, msg := range msgs {
		if last == 0 {
			break
		}
		msg.Header.Set("Nats-Batch-Id", batch)
		msg.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i == last {
			msg.Header.Set("Nats-Batch-Commit", "1")
		} else if err := nc.PublishMsg(msg); err != nil {
			return 0, fmt.Errorf("%s: %w", msg.Subject, err)
		}
	}
	answer, err := nc.RequestMsgWithContext(ctx, msgs[last])
	if err != nil {
		return 0, err
	}
	var ack struct {
		Seq   uint64              `json:"seq"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, err
	}
	if ack.Error != nil {
		return 0, ack.Error
	}
	return ack.Seq, nil
}
