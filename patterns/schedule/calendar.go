package schedule

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Calendar schedules messages. A message replaces the message that is scheduled under
// the same ID. An equal one changes nothing: all instances of a service may schedule
// its recurring messages when they start, and a failed call may be repeated.
type Calendar struct {
	cfg    Config
	name   string
	js     jetstream.JetStream
	stream jetstream.Stream
}

// New finds or creates the calendar with that name. The context bounds this call only.
func New(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*Calendar, error) {
	want, err := StreamConfig(name, cfg)
	if err != nil {
		return nil, err
	}
	stream, err := ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("schedule: calendar %s: %w", name, err)
	}
	cfg, err = cfg.normal()
	return &Calendar{cfg: cfg, name: name, js: js, stream: stream}, err
}

// At schedules msg once, at a time of the server's clock. To retry a failed call, pass
// the same time: a message that was already due is not due again.
func (c *Calendar) At(ctx context.Context, id string, at time.Time, msg *nats.Msg) error {
	if at.After(maxTime) {
		return fmt.Errorf("%w: %v; use at most %v", ErrTime, at, maxTime)
	}
	when := "@at " + at.UTC().Format(time.RFC3339Nano) // jetstream.WithScheduleAt drops the fraction of a second, which is early
	return c.schedule(ctx, id, when, "", msg, at)
}

// maxTime is the last time that the server can count; a later one would be due at once.
var maxTime = time.Unix(0, math.MaxInt64).UTC()

// Every schedules msg repeatedly, on whole seconds, the first time after interval, with
// an error of half a second.
func (c *Calendar) Every(ctx context.Context, id string, interval time.Duration, msg *nats.Msg) error {
	if interval < time.Second || interval%time.Second != 0 || time.Now().Add(interval).After(maxTime) { // the server rounds a fraction at each repetition
		return fmt.Errorf("%w: every %v; use whole seconds, from 1s", ErrTime, interval)
	}
	return c.schedule(ctx, id, "@every "+interval.String(), "", msg, time.Time{})
}

// Cron schedules msg whenever the clock of zone, UTC if empty, matches expr: second,
// minute, hour, day of the month, month, day of the week (0 is Sunday). Each is * or a
// list of 5, 1-5, */2, 10-30/5, jan, mon-fri. A time in the hour that is skipped in
// spring is skipped. A time in the hour that is repeated in autumn is repeated. Cron
// needs nats-server 2.14.
func (c *Calendar) Cron(ctx context.Context, id, expr, zone string, msg *nats.Msg) error {
	expr = strings.Join(strings.Fields(expr), " ")
	cron, err := parseCron(expr, zone)
	if err != nil {
		return err
	}
	if cron.Next(time.Now()).IsZero() {
		return fmt.Errorf("%w: cron %.80q is never due", ErrTime, expr)
	}
	return c.schedule(ctx, id, expr, zone, msg, time.Time{})
}

// Cancel reports whether a message was scheduled that will not be due now. It reports
// false for a message that is due at this moment by our clock: that can be too late. A
// failed earlier call that the server has not received yet is cancelled, too.
func (c *Calendar) Cancel(ctx context.Context, id string) (cancelled bool, err error) {
	if err := checkID(id); err != nil {
		return false, err
	}
	var next time.Time
	err = c.update(ctx, id, func(last, scheduled *jetstream.RawStreamMsg) (*nats.Msg, error) {
		if scheduled != nil {
			next = newEntry(scheduled, last).Next
		} else if last != nil && last.Subject == subject(c.name, id, "due") {
			next = time.Time{} // it became due during this call
		}
		m := nats.NewMsg(subject(c.name, id, "cancelled"))
		m.Header.Set(HeaderBy, c.js.Conn().Opts.Name)
		m.Header.Set(jetstream.MsgTTLHeader, max(c.cfg.MaxAge, week).String()) // an earlier call can be delayed for long
		return m, nil
	})
	if err != nil {
		return false, fmt.Errorf("schedule: cancel %s: %w", id, err)
	}
	return next.After(time.Now()), nil
}

// Consumer finds or creates the durable consumer of due messages. All instances of a
// service share one: the server delivers each message to one of them. Another durable
// receives all messages again. A message without an ack is redelivered after 30 s.
func (c *Calendar) Consumer(ctx context.Context, durable string) (jetstream.Consumer, error) {
	want, err := ConsumerConfig(c.name, durable, c.cfg)
	if err != nil {
		return nil, err
	}
	cons, err := ensure(ctx, consumerOf(c.stream, durable), want, c.cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("schedule: calendar %s: %w", c.name, err)
	}
	return cons, nil
}
