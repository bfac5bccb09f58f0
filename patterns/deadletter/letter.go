package deadletter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Reason is why a message is a dead letter.
type Reason string

const (
	Exhausted  Reason = "exhausted"  // the last delivery attempt failed
	Poison     Reason = "poison"     // the handler returned ErrPoison
	Terminated Reason = "terminated" // the consumer terminated it; stored by a Collector
)

// Letter is a message that was not handled, with the reason.
type Letter struct {
	ID         string // <stream>.<consumer>.<sequence>.<time>
	Reason     Reason
	Error      string // of the last delivery attempt
	Deliveries int
	Stream     string // that delivered the message
	Consumer   string // that could not handle it
	Sequence   uint64 // in Stream
	Time       time.Time
	Msg        *nats.Msg // as it was stored in Stream, without Nats-* headers
	Gone       bool      // Stream had removed the message before a Collector read it: Msg is empty
	seq        uint64    // of the letter
}

// Headers of a letter, beside those of the message.
const (
	HeaderReason     = "Dead-Reason"
	HeaderError      = "Dead-Error"
	HeaderDeliveries = "Dead-Deliveries"
	HeaderSubject    = "Dead-Subject"
	HeaderResolved   = "Dead-Resolved" // on the mark that replaces a letter
	HeaderConsumer   = "Dead-Consumer" // on a requeued message: other guarded consumers acknowledge it
	headerPrefix     = "Dead-"
)

const codeStoreFailed jetstream.ErrorCode = 10077 // JSStreamStoreFailedF
var letterIDs = regexp.MustCompile(`^([\w-]{1,64}\.){3}[\w-]{1,64}$`)

// letterID identifies a message forever. The time distinguishes it from one with the
// same sequence in a recreated stream.
func letterID(consumer string, seq uint64, at time.Time) string {
	return fmt.Sprintf("%s.%d.%s", consumer, seq, strconv.FormatInt(at.UnixNano(), 36))
}

func (c *Channel) subject(id string) string { return "dead." + c.name + "." + id }

// store stores a letter with the message raw, unless a letter or a mark is stored
// under an ID that matches unless. If raw is nil, the message is gone.
func (c *Channel) store(ctx context.Context, l Letter, unless string, cause error, raw *jetstream.RawStreamMsg) error {
	m := nats.NewMsg(c.subject(l.ID))
	if raw != nil {
		m.Header, m.Data = copyHeader(raw.Header, headerPrefix), raw.Data
		m.Header.Set(HeaderSubject, raw.Subject)
	}
	m.Header.Set(HeaderReason, string(l.Reason))
	m.Header.Set(HeaderError, errorText(cause))
	m.Header.Set(HeaderDeliveries, strconv.Itoa(l.Deliveries))
	if _, err := c.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequenceForSubject(0, c.subject(unless))); !isConflict(err) {
		return err
	}
	return nil
}

// parse returns the letter in raw, which was read with err.
func (c *Channel) parse(raw *jetstream.RawStreamMsg, err error) (Letter, error) {
	if err != nil {
		return Letter{}, fmt.Errorf("deadletter: read a letter of %s: %w", c.name, err)
	}
	h, id := raw.Header, strings.TrimPrefix(raw.Subject, c.subject(""))
	l := Letter{ID: id, Reason: Reason(h.Get(HeaderReason)), Error: h.Get(HeaderError), Time: raw.Time, seq: raw.Sequence,
		Msg: &nats.Msg{Subject: h.Get(HeaderSubject), Header: copyHeader(h, headerPrefix), Data: raw.Data}}
	if how := h.Get(HeaderResolved); how != "" {
		return l, fmt.Errorf("%w: %s is %s", ErrResolved, id, how)
	}
	tokens := strings.Split(id, ".")
	l.Stream, l.Consumer, l.Gone = tokens[0], tokens[1], l.Msg.Subject == ""
	if _, err := fmt.Sscan(tokens[2]+" "+h.Get(HeaderDeliveries), &l.Sequence, &l.Deliveries); err != nil {
		return l, fmt.Errorf("deadletter: %s is not a letter; delete message %d of DEAD_%s: %w", raw.Subject, raw.Sequence, c.name, err)
	}
	return l, nil
}

// getMsg returns message seq of s, or instead if s has removed it. A message that is
// stored after at is another one, with the same sequence in a recreated stream.
func getMsg(ctx context.Context, s jetstream.Stream, seq uint64, at time.Time, instead *jetstream.RawStreamMsg) (*jetstream.RawStreamMsg, error) {
	raw, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) { return s.GetMsg(ctx, seq) })
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) || err == nil && raw.Time.After(at) {
		return instead, nil
	}
	return raw, err
}

// All yields the letters that are stored when it begins, oldest first. A caller may
// resolve them meanwhile. After an error All continues if it can.
func (c *Channel) All(ctx context.Context) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) { return c.letters.Info(ctx) })
		if err != nil {
			yield(Letter{}, fmt.Errorf("deadletter: list %s: %w", c.name, err))
			return
		}
		for raw, err := range messages(ctx, c.letters, ">", 1, info.State.LastSeq) {
			l, err := c.parse(raw, err)
			if !errors.Is(err, ErrResolved) && !yield(l, err) {
				return
			}
		}
	}
}

// messages yields the messages of s on a subject, between two sequences.
func messages(ctx context.Context, s jetstream.Stream, subject string, from, to uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for seq := max(from, 1); seq <= to; seq++ {
			raw, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
				return s.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
			})
			if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && raw.Sequence > to {
				return
			}
			if !yield(raw, err) || err != nil {
				return
			}
			seq = raw.Sequence
		}
	}
}

// Get returns a letter.
func (c *Channel) Get(ctx context.Context, id string) (Letter, error) {
	if !letterIDs.MatchString(id) {
		return Letter{}, fmt.Errorf("%w: %.80q; use the ID of a Letter", ErrID, id)
	}
	raw, err := c.letters.GetLastMsgForSubject(ctx, c.subject(id))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Letter{}, fmt.Errorf("%w: %s", ErrNoLetter, id)
	}
	return c.parse(raw, err)
}

// Requeue publishes the message of a letter again, on its subject, and resolves the
// letter. The function fix may change subject, headers and payload. If it returns an
// error, the letter stays. It may be nil. After an error call Requeue again: within
// the duplicate window of the stream the message is stored once. Other guarded
// consumers of the stream acknowledge the message without handling it.
func (c *Channel) Requeue(ctx context.Context, id string, fix func(msg *nats.Msg) error) error {
	l, err := c.Get(ctx, id)
	if err != nil {
		return err
	}
	msg, subject := l.Msg, l.Msg.Subject
	if fix != nil {
		if err := fix(msg); err != nil {
			return fmt.Errorf("deadletter: requeue %s: %w", id, err)
		}
	}
	if msg.Subject == "" {
		return fmt.Errorf("%w: %s", ErrGone, id)
	}
	msg.Header = copyHeader(msg.Header, headerPrefix)
	_, err = callAPI(ctx, func(ctx context.Context) (jetstream.Consumer, error) { return c.js.Consumer(ctx, l.Stream, l.Consumer) })
	if err == nil && msg.Subject == subject { // the other consumers have handled it before
		msg.Header.Set(HeaderConsumer, l.Stream+"."+l.Consumer)
	}
	if _, err := c.js.PublishMsg(ctx, msg, jetstream.WithMsgID(c.subject(id))); err != nil {
		return fmt.Errorf("deadletter: requeue %s: %w; the letter stays", id, err)
	}
	if err := c.resolve(ctx, l, "requeued"); !errors.Is(err, ErrResolved) {
		return err
	}
	return nil // another process has resolved it meanwhile
}

// Purge resolves a letter without publishing its message.
func (c *Channel) Purge(ctx context.Context, id string) error {
	l, err := c.Get(ctx, id)
	if err != nil {
		return err
	}
	return c.resolve(ctx, l, "purged")
}

// resolve replaces a letter by a mark. If a worker crashed after it had stored the
// letter, its message is redelivered, and the mark keeps it from becoming a letter.
func (c *Channel) resolve(ctx context.Context, l Letter, how string) error {
	m := nats.NewMsg(c.subject(l.ID))
	m.Header.Set(HeaderResolved, how+" "+time.Now().UTC().Format(time.RFC3339))
	_, err := c.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(l.seq))
	if apiCode(err) == codeStoreFailed { // a full stream with replicas refuses the mark before it has replaced the letter
		if err = c.letters.DeleteMsg(ctx, l.seq); err == nil {
			_, err = c.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(0))
		}
	}
	if isConflict(err) {
		return fmt.Errorf("%w: %s", ErrResolved, l.ID)
	}
	if err != nil {
		return fmt.Errorf("deadletter: %s is %s, but the letter stays: %w", l.ID, how, err)
	}
	return nil
}
