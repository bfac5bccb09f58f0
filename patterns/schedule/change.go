package schedule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// plan stores the schedule, in place of what is planned.
func (c *Calendar) plan(ctx context.Context, id, when, zone string, msg *nats.Msg, at time.Time) error {
	m, err := c.compose(id, when, zone, msg, at)
	if err != nil {
		return err
	}
	once := strings.HasPrefix(when, "@at ")
	err = c.change(ctx, id, func(last, plan *jetstream.RawStreamMsg) (*nats.Msg, error) {
		before := plan
		if plan == nil && last != nil && once && last.Subject == subject(c.name, id, "due") {
			before = last // it has come
		}
		if before != nil && same(before, m) {
			return nil, nil
		}
		if once && !at.After(time.Now()) {
			return nil, fmt.Errorf("%w: %s", ErrPast, at.UTC().Format(time.RFC3339Nano))
		}
		// A subject of its own each time: what is due just now purges its plan as it comes, and must not purge this one.
		m.Subject = subject(c.name, id, "plan."+strconv.FormatUint(sequence(last), 10))
		return m, nil
	})
	if err != nil {
		return fmt.Errorf("schedule: plan %s: %w", id, err)
	}
	return nil
}

func (c *Calendar) compose(id, when, zone string, msg *nats.Msg, at time.Time) (*nats.Msg, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, fmt.Errorf("%w: it is nil", ErrMessage)
	}
	m := nats.NewMsg("") // its subject is for later
	for name, values := range msg.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "nats-") || name != HeaderDeadline && strings.HasPrefix(lower, "schedule-") {
			return nil, fmt.Errorf("%w: header %.80q is ours or the server's; remove it", ErrMessage, name)
		}
		for _, v := range values { // as the wire carries it, for same
			m.Header.Add(name, lines.Replace(textproto.TrimString(v)))
		}
	}
	ttl := c.cfg.Keep
	deadline, ok, err := Deadline(msg.Header)
	switch {
	case err != nil:
		return nil, err
	case ok && !strings.HasPrefix(when, "@at "):
		return nil, fmt.Errorf("%w: what comes again and again has no one deadline", ErrMessage)
	case ok && !deadline.After(at):
		return nil, fmt.Errorf("%w: when it comes; its deadline is %v", ErrExpired, deadline)
	case ok:
		ttl = min(ttl, wholeSeconds(deadline.Sub(at)))
	}
	m.Data = msg.Data
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

var lines = strings.NewReplacer("\r", " ", "\n", " ")

// same reports whether a message that is planned, or has come, is the one to be planned.
func same(have *jetstream.RawStreamMsg, want *nats.Msg) bool {
	ttl := have.Header.Get(jetstream.ScheduleTTLHeader) + have.Header.Get(jetstream.MsgTTLHeader) // it has one of them
	return have.Header.Get(HeaderWhen) == want.Header.Get(HeaderWhen) && ttl == want.Header.Get(jetstream.ScheduleTTLHeader) &&
		bytes.Equal(have.Data, want.Data) && reflect.DeepEqual(own(have.Header), own(want.Header))
}

// change stores what next makes of the last message of id, and of the one by which
// something is planned, on condition that they are still so; and with it, the plan goes.
func (c *Calendar) change(ctx context.Context, id string, next func(last, plan *jetstream.RawStreamMsg) (*nats.Msg, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		last, plan, err := c.look(ctx, id)
		if err != nil {
			return err
		}
		m, err := next(last, plan)
		if m == nil || err != nil {
			return err
		}
		m.Header.Del(headerScheduler)
		m.Header.Del(headerNext)
		if plan != nil {
			m.Header.Set(headerScheduler, plan.Subject)
			m.Header.Set(headerNext, "purge")
		}
		_, err = callAPI(ctx, func(ctx context.Context) (*jetstream.PubAck, error) {
			return c.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequenceForSubject(sequence(last), subject(c.name, id, ">")))
		})
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence && api.ErrorCode != wrongLast {
			return err
		}
	}
}

const (
	headerScheduler = "Nats-Scheduler"
	headerNext      = "Nats-Schedule-Next"
	wrongLast       = 10164 // in a cluster
)

// look gets the last message of id, and that by which something is planned, or nil.
func (c *Calendar) look(ctx context.Context, id string) (last, plan *jetstream.RawStreamMsg, err error) {
	get := func(what string) (*jetstream.RawStreamMsg, error) {
		m, err := callAPI(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
			return c.stream.GetLastMsgForSubject(ctx, subject(c.name, id, what))
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, nil
		}
		return m, err
	}
	if last, err = get(">"); last == nil || last.Header.Get(jetstream.ScheduleHeader) != "" {
		return last, last, err
	}
	plan, err = get("plan.*")
	return last, plan, err
}

func sequence(m *jetstream.RawStreamMsg) uint64 {
	if m == nil {
		return 0
	}
	return m.Sequence
}
