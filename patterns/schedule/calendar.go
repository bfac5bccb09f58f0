package schedule

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Calendar plans messages. What is planned under an id takes the place of what was
// planned under it before, and what is planned the same already is left as it is: so all
// instances of a service may plan its recurring messages when they start, and a call
// that failed may be repeated.
type Calendar struct {
	cfg    Config
	name   string
	js     jetstream.JetStream
	stream jetstream.Stream
}

// New finds or creates the calendar called name. The context bounds this call only.
func New(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Calendar, error) {
	want, err := Stream(name, cfg)
	if err != nil {
		return nil, err
	}
	c := &Calendar{name: name, js: js}
	c.cfg, _ = cfg.normal() // Stream has found it good
	c.stream, err = ensureStream(ctx, js, want, cfg.Bind, func(have jetstream.StreamConfig) []need {
		return []need{
			{"Subjects", want.Subjects, have.Subjects}, {"Retention", want.Retention, have.Retention}, {"MaxAge", want.MaxAge, have.MaxAge},
			{"AllowMsgSchedules", true, have.AllowMsgSchedules}, {"AllowMsgTTL", true, have.AllowMsgTTL}, {"MaxMsgs", want.MaxMsgs, have.MaxMsgs},
			{"MaxBytes", want.MaxBytes, have.MaxBytes}, {"MaxMsgsPerSubject", want.MaxMsgsPerSubject, have.MaxMsgsPerSubject},
		}
	})
	if err != nil {
		return nil, fmt.Errorf("schedule: calendar %s: %w", name, err)
	}
	return c, nil
}

// At has msg come once, at the time given, by the server's clock. To repeat a call that
// failed, give it the same time; what has come of it already does not come again.
func (c *Calendar) At(ctx context.Context, id string, at time.Time, msg *nats.Msg) error {
	if at.After(end) {
		return fmt.Errorf("%w: %v; the server counts to %v", ErrWhen, at, end)
	}
	when := "@at " + at.UTC().Format(time.RFC3339Nano) // jetstream.WithScheduleAt cuts to the second, which is early
	return c.plan(ctx, id, when, "", msg, at)
}

// end is where the server's count of nanoseconds turns over; what is later would come at once.
var end = time.Unix(0, math.MaxInt64).UTC()

// Every has msg come again and again, in whole seconds, the first time after interval.
func (c *Calendar) Every(ctx context.Context, id string, interval time.Duration, msg *nats.Msg) error {
	if interval < time.Second || interval%time.Second != 0 || time.Now().Add(interval).After(end) { // the server would round the fraction at each turn
		return fmt.Errorf("%w: every %v; whole seconds, from 1s", ErrWhen, interval)
	}
	return c.plan(ctx, id, "@every "+interval.String(), "", msg, time.Time{})
}

// Cron has msg come whenever the clock of zone, UTC if empty, matches expr: second,
// minute, hour, day of the month, month, day of the week; or @yearly to @hourly. What an
// hour left out in spring would have had does not come that day, in the hour that
// autumn has twice it comes twice. Needs NATS 2.14.
func (c *Calendar) Cron(ctx context.Context, id, expr, zone string, msg *nats.Msg) error {
	expr = strings.Join(strings.Fields(expr), " ")
	cron, err := parseCron(expr, zone)
	if err == nil && cron.next(time.Now()).IsZero() {
		err = fmt.Errorf("%w: cron %.80q never comes", ErrWhen, expr)
	}
	if err != nil {
		return err
	}
	return c.plan(ctx, id, expr, zone, msg, time.Time{})
}

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
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeSchedulePatternInvalid || api.ErrorCode == zoneUnknown) {
		err = fmt.Errorf("%w: %w", ErrWhen, err)
	}
	if err != nil {
		return fmt.Errorf("schedule: plan %s: %w", id, err)
	}
	return nil
}

const zoneUnknown = 10223 // to the server, which may know fewer than we do

func (c *Calendar) compose(id, when, zone string, msg *nats.Msg, at time.Time) (*nats.Msg, error) {
	if err := checkID(id); err != nil {
		return nil, err
	}
	if msg == nil {
		return nil, fmt.Errorf("%w: it is nil", ErrMessage)
	}
	for name := range msg.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "nats-") || lower != strings.ToLower(HeaderDeadline) && strings.HasPrefix(lower, "schedule-") {
			return nil, fmt.Errorf("%w: header %.80q is ours or the server's; remove it", ErrMessage, name)
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
	m := &nats.Msg{Header: maps.Clone(msg.Header), Data: msg.Data}
	if m.Header == nil {
		m.Header = nats.Header{}
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

// same reports whether a message that is planned, or has come, is the one to be planned.
func same(have *jetstream.RawStreamMsg, want *nats.Msg) bool {
	own := func(h nats.Header) nats.Header {
		h = maps.Clone(h)
		maps.DeleteFunc(h, func(name string, _ []string) bool { return strings.HasPrefix(name, "Nats-") || name == HeaderBy })
		return h
	}
	ttl := have.Header.Get(jetstream.ScheduleTTLHeader) + have.Header.Get(jetstream.MsgTTLHeader) // it has one of them
	return ttl == want.Header.Get(jetstream.ScheduleTTLHeader) && bytes.Equal(have.Data, want.Data) && reflect.DeepEqual(own(have.Header), own(want.Header))
}

// Cancel reports whether something was planned, and no longer is. It may be too late for
// what is due at this moment. Whatever it reports, what an earlier call may still have
// under way is not planned any more.
func (c *Calendar) Cancel(ctx context.Context, id string) (cancelled bool, err error) {
	if err := checkID(id); err != nil {
		return false, err
	}
	err = c.change(ctx, id, func(_, plan *jetstream.RawStreamMsg) (*nats.Msg, error) {
		cancelled = plan != nil
		m := nats.NewMsg(subject(c.name, id, "cancelled"))
		m.Header.Set(HeaderBy, c.js.Conn().Opts.Name)
		m.Header.Set(jetstream.MsgTTLHeader, c.cfg.Keep.String())
		return m, nil
	})
	if err != nil {
		return false, fmt.Errorf("schedule: cancel %s: %w", id, err)
	}
	return cancelled, nil
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
		_, err = ask(ctx, func(ctx context.Context) (*jetstream.PubAck, error) {
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
