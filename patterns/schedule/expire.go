package schedule

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// SetDeadline writes on msg until when it is worth handling, whichever way it goes: by a
// stream, by none, or planned. [Fresh] honours it.
func SetDeadline(msg *nats.Msg, deadline time.Time) {
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	msg.Header.Set(HeaderDeadline, deadline.UTC().Format(time.RFC3339Nano))
}

// Deadline reads what [SetDeadline] wrote; ok is false if there is none.
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

// TTL has the stream drop the message after its deadline, whether anybody has handled it
// or not, so that it takes no room. The stream must have AllowMsgTTL. The server counts
// in whole seconds and would cut a part of one off; this rounds up, to 1s at least, and to
// a century at most.
func TTL(deadline time.Time) jetstream.PublishOpt {
	return jetstream.WithMsgTTL(wholeSeconds(time.Until(deadline)))
}

func wholeSeconds(d time.Duration) time.Duration {
	return max(time.Second, (min(d, century) + time.Second - 1).Truncate(time.Second))
}

// Fresh refuses to handle what has expired. The zero Fresh is ready to use.
type Fresh struct {
	Skew    time.Duration                                  // how much later than the sender's our clock may be; none if zero
	Refused func(subject string, h nats.Header, err error) // told ErrExpired or ErrDeadline; nil if nobody wants to know
}

// Core wraps a handler of plain messages. What is refused is dropped.
func (f Fresh) Core(handle nats.MsgHandler) nats.MsgHandler {
	return func(m *nats.Msg) {
		if f.check(m.Subject, m.Header) == nil {
			handle(m)
		}
	}
}

// Stream wraps a handler of stored messages. What is refused is terminated, with the
// reason, which the server tells by an advisory; it stays in its stream.
func (f Fresh) Stream(handle jetstream.MessageHandler) jetstream.MessageHandler {
	return func(m jetstream.Msg) {
		if err := f.check(m.Subject(), m.Headers()); err != nil {
			_ = m.TermWithReason(err.Error()) // else it comes again, and is refused again
			return
		}
		handle(m)
	}
}

func (f Fresh) check(subject string, h nats.Header) error {
	deadline, ok, err := Deadline(h)
	if late := time.Since(deadline); ok && late >= f.Skew {
		err = fmt.Errorf("%w %v ago", ErrExpired, late.Round(10*time.Millisecond))
	}
	if err != nil && f.Refused != nil {
		f.Refused(subject, h, err)
	}
	return err
}
