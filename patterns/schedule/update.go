package schedule

import (
	"bytes"
	"context"
	"fmt"
	"net/textproto"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	headerScheduler = "Nats-Scheduler"
	headerNext      = "Nats-Schedule-Next"
)

// schedule stores a schedule in place of the one that is stored.
func (c *Calendar) schedule(ctx context.Context, id, when, zone string, msg *nats.Msg, at time.Time) error {
	m, err := c.message(id, when, zone, msg, at)
	if err != nil {
		return err
	}
	once := strings.HasPrefix(when, "@at ")
	err = c.update(ctx, id, func(last, scheduled *jetstream.RawStreamMsg) (*nats.Msg, error) {
		before := scheduled
		if scheduled == nil && last != nil && once && last.Subject == subject(c.name, id, "due") {
			before = last // it is due already
		}
		if before != nil && isEqual(before, m) {
			return nil, nil
		}
		if once && !at.After(time.Now()) {
			return nil, fmt.Errorf("%w: %s", ErrPast, at.UTC().Format(time.RFC3339Nano))
		}
		// Each schedule has its own subject: a message that is due now makes the server
		// purge the subject of its schedule, which must not remove this one.
		m.Subject = subject(c.name, id, "plan."+strconv.FormatUint(sequence(last), 10))
		return m, nil
	})
	if err != nil {
		return fmt.Errorf("schedule: schedule %s: %w", id, err)
	}
	return nil
}

// message returns msg with the headers of a schedule, without a subject.
func (c *Calendar) message(id, when, zone string, msg *nats.Msg, at time.Time) (*nats.Msg, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, fmt.Errorf("%w: it is nil", ErrMessage)
	}
	m := nats.NewMsg("")
	m.Data = msg.Data
	for name, values := range msg.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "nats-") || name != HeaderDeadline && strings.HasPrefix(lower, "schedule-") {
			return nil, fmt.Errorf("%w: header %.80q is reserved; remove it", ErrMessage, name)
		}
		for _, v := range values { // as nats.go sends it, for isEqual
			m.Header.Add(name, newlines.Replace(textproto.TrimString(v)))
		}
	}
	ttl := c.cfg.MaxAge
	deadline, ok, err := Deadline(msg.Header)
	switch {
	case err != nil:
		return nil, err
	case ok && !strings.HasPrefix(when, "@at "):
		return nil, fmt.Errorf("%w: a recurring message cannot have a deadline", ErrMessage)
	case ok && !deadline.After(at):
		return nil, fmt.Errorf("%w: it is due after its deadline %v", ErrExpired, deadline)
	case ok:
		ttl = min(ttl, wholeSeconds(deadline.Sub(at)))
	}
	m.Header.Set(HeaderWhen, strings.TrimSpace(when+" "+zone))
	m.Header.Set(HeaderBy, c.js.Conn().Opts.Name)
	m.Header.Set(jetstream.ScheduleHeader, when)
	if zone != "" {
		m.Header.Set(jetstream.ScheduleTimeZoneHeader, zone)
	}
	m.Header.Set(jetstream.ScheduleTargetHeader, subject(c.name, id, "due"))
	m.Header.Set(jetstream.ScheduleTTLHeader, ttl.String())
	return m, nil
}

var newlines = strings.NewReplacer("\r", " ", "\n", " ")

// isEqual reports whether a message that is scheduled, or was due, equals want.
func isEqual(have *jetstream.RawStreamMsg, want *nats.Msg) bool {
	ttl := have.Header.Get(jetstream.ScheduleTTLHeader) + have.Header.Get(jetstream.MsgTTLHeader) // it has one of them
	return have.Header.Get(HeaderWhen) == want.Header.Get(HeaderWhen) && ttl == want.Header.Get(jetstream.ScheduleTTLHeader) &&
		bytes.Equal(have.Data, want.Data) && reflect.DeepEqual(callerHeader(have.Header), callerHeader(want.Header))
}

// update stores the message that next returns for the last message of id and for its
// schedule. The server rejects it if id has a newer message, and else removes the
// schedule in the same step.
func (c *Calendar) update(ctx context.Context, id string, next func(last, scheduled *jetstream.RawStreamMsg) (*nats.Msg, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		last, scheduled, err := c.find(ctx, id)
		if err != nil {
			return err
		}
		m, err := next(last, scheduled)
		if m == nil || err != nil {
			return err
		}
		m.Header.Del(headerScheduler)
		m.Header.Del(headerNext)
		if scheduled != nil {
			m.Header.Set(headerScheduler, scheduled.Subject)
			m.Header.Set(headerNext, "purge")
		}
		_, err = callAPI(ctx, func(ctx context.Context) (*jetstream.PubAck, error) {
			return c.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequenceForSubject(sequence(last), subject(c.name, id, ">")))
		})
		if !isConflict(err) {
			return err
		}
	}
}

// find returns the last message of id, and its schedule, or nil.
func (c *Calendar) find(ctx context.Context, id string) (last, scheduled *jetstream.RawStreamMsg, err error) {
	get := func(what string) (*jetstream.RawStreamMsg, error) {
		return callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return lastMessage(ctx, c.js, "SCHEDULE_"+c.name, subject(c.name, id, what))
		})
	}
	if last, err = get(">"); last == nil || last.Header.Get(jetstream.ScheduleHeader) != "" {
		return last, last, err
	}
	scheduled, err = get("plan.*")
	return last, scheduled, err
}

func sequence(m *jetstream.RawStreamMsg) uint64 {
	if m == nil {
		return 0
	}
	return m.Sequence
}
