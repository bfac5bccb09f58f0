package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Reason is why a message is a dead letter.
type Reason string

const (
	Exhausted  Reason = "exhausted"  // its tries are over
	Poison     Reason = "poison"     // its handler said that no try can help
	Terminated Reason = "terminated" // its consumer terminated it; known to a Keeper only
)

// Letter is a message that was given up, and what is known of that.
type Letter struct {
	ID       string // <stream>.<consumer>.<sequence>.<time>
	Reason   Reason
	Error    string // of the last try
	Tries    int
	Stream   string // where it comes from
	Consumer string // who gave it up
	Sequence uint64 // in Stream
	Died     time.Time
	Msg      *nats.Msg // as it was, on the subject it had, without Nats-* headers
	Gone     bool      // Msg is empty: it had left the stream before a Keeper could get it

	seq uint64 // of the letter
}

// Headers of a letter beside those of the message; headerFor is one of a requeued message.
const (
	headerReason  = "Dead-Reason"
	headerError   = "Dead-Error"
	headerTries   = "Dead-Tries"
	headerSubject = "Dead-Subject"
	headerSettled = "Dead-Settled"
	headerFor     = "Dead-For"
)

// idOf names a message for ever: the time tells it from one with the same sequence
// in a stream that was deleted and made anew.
func idOf(stream, consumer string, seq uint64, at time.Time) string {
	return fmt.Sprintf("%s.%s.%d.%s", stream, consumer, seq, strconv.FormatInt(at.UnixNano(), 36))
}

func (c *Channel) subject(id string) string { return "dead." + c.name + "." + id }

// clean returns the headers without ours and without the server's. Those are orders
// that were carried out: published again, they would have a message refused, dropped
// as a duplicate, scheduled or expired once more.
func clean(h nats.Header) nats.Header {
	out := nats.Header{}
	for k, v := range h {
		if low := strings.ToLower(k); !strings.HasPrefix(low, "nats-") && !strings.HasPrefix(low, "dead-") {
			out[k] = v
		}
	}
	return out
}

// store keeps a letter, once: it is done if one is kept, or was settled, on any
// subject that matches none.
func (c *Channel) store(ctx context.Context, subject, none string, l Letter) error {
	m := &nats.Msg{Subject: subject, Header: clean(l.Msg.Header), Data: l.Msg.Data}
	m.Header.Set(headerReason, string(l.Reason))
	m.Header.Set(headerError, fmt.Sprintf("%.1000s", l.Error))
	m.Header.Set(headerTries, strconv.Itoa(l.Tries))
	if !l.Gone {
		m.Header.Set(headerSubject, l.Msg.Subject)
	}
	if _, err := c.publish(ctx, m, jetstream.WithExpectLastSequenceForSubject(0, none)); !conflict(err) {
		return err
	}
	return nil
}

func (c *Channel) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return c.js.PublishMsg(ctx, m, opts...)
}

func conflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// kept tells whether a letter, or the mark of one, is on subject. If that cannot be
// told, no: better to try a message once more than to hold up all that are tried again.
func (c *Channel) kept(ctx context.Context, subject string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := c.dead.GetLastMsgForSubject(ctx, subject)
	return err == nil
}

// read turns what is stored into a Letter.
func (c *Channel) read(raw *jetstream.RawStreamMsg) (Letter, error) {
	h, id := raw.Header, strings.TrimPrefix(raw.Subject, "dead."+c.name+".")
	l := Letter{ID: id, Reason: Reason(h.Get(headerReason)), Error: h.Get(headerError), Died: raw.Time, seq: raw.Sequence,
		Msg: &nats.Msg{Subject: h.Get(headerSubject), Header: clean(h), Data: raw.Data}}
	if h.Get(headerSettled) != "" {
		return l, fmt.Errorf("%w: %s is %s", ErrSettled, id, h.Get(headerSettled))
	}
	l.Gone = l.Msg.Subject == ""
	f := strings.Split(id, ".")
	l.Stream, l.Consumer = f[0], f[1]
	var bad [2]error
	l.Sequence, bad[0] = strconv.ParseUint(f[2], 10, 64)
	l.Tries, bad[1] = strconv.Atoi(h.Get(headerTries))
	if err := errors.Join(bad[:]...); err != nil {
		return l, fmt.Errorf("deadletter: %s is not from here; delete message %d of DEAD_%s: %w", raw.Subject, raw.Sequence, c.name, err)
	}
	return l, nil
}
