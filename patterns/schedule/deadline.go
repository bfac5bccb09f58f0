package schedule

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SetDeadline sets the time after which msg must not be handled. It works for messages
// of core NATS, of a stream and of a [Calendar]. [Filter] checks it.
func SetDeadline(msg *nats.Msg, deadline time.Time) {
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header.Set(HeaderDeadline, deadline.UTC().Format(time.RFC3339Nano))
}

// Deadline returns the deadline that [SetDeadline] has set; ok is false without one.
func Deadline(h nats.Header) (deadline time.Time, ok bool, err error) {
	text := h.Get(HeaderDeadline)
	if text == "" {
		return time.Time{}, false, nil
	}
	if deadline, err = time.Parse(time.RFC3339Nano, text); err != nil {
		return time.Time{}, false, fmt.Errorf("%w: %s is %.80q", ErrDeadline, HeaderDeadline, text)
	}
	return deadline, true, nil
}

// TTL makes the stream remove the message after its deadline, also if it was not
// handled. The stream needs AllowMsgTTL. The server drops fractions of a second, so TTL
// rounds up. It is at least 1 s and at most a century.
func TTL(deadline time.Time) jetstream.PublishOpt {
	return jetstream.WithMsgTTL(wholeSeconds(time.Until(deadline)))
}

func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (min(d, century) + time.Second - 1).Truncate(time.Second))
}

// Filter does not pass expired messages to a handler. The zero Filter is ready to use.
type Filter struct {
	Skew    time.Duration                                  // a message is accepted until its deadline plus Skew, for different clocks
	Refused func(subject string, h nats.Header, err error) // called with ErrExpired or ErrDeadline for each refused message; may be nil
}

// Core wraps a handler of core NATS messages. It drops an expired message.
func (f Filter) Core(handle nats.MsgHandler) nats.MsgHandler {
	return func(m *nats.Msg) {
		if f.check(m.Subject, m.Header) == nil {
			handle(m)
		}
	}
}

// Stream wraps a handler of stored messages. It terminates an expired message with the
// reason, of which the server publishes an advisory. The message stays in its stream.
func (f Filter) Stream(handle jetstream.MessageHandler) jetstream.MessageHandler {
	return func(m jetstream.Msg) {
		if err := f.check(m.Subject(), m.Headers()); err != nil {
			_ = m.TermWithReason(err.Error()) // after a failure it is redelivered, and refused again
			return
		}
		handle(m)
	}
}

func (f Filter) check(subject string, h nats.Header) error {
	deadline, ok, err := Deadline(h)
	if late := time.Since(deadline); ok && late >= f.Skew {
		err = fmt.Errorf("%w %v ago", ErrExpired, late.Round(10*time.Millisecond))
	}
	if err != nil && f.Refused != nil {
		f.Refused(subject, h, err)
	}
	return err
}
