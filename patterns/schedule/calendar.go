package schedule

import (
	"context"
	"fmt"
	"maps"
	"math"
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
	c.stream, err = ensure(ctx, streamOf(js, want.Name), want, cfg.Bind)
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

// Every has msg come again and again, on whole seconds, the first time after interval,
// give or take half a second.
func (c *Calendar) Every(ctx context.Context, id string, interval time.Duration, msg *nats.Msg) error {
	if interval < time.Second || interval%time.Second != 0 || time.Now().Add(interval).After(end) { // the server would round the fraction at each turn
		return fmt.Errorf("%w: every %v; whole seconds, from 1s", ErrWhen, interval)
	}
	return c.plan(ctx, id, "@every "+interval.String(), "", msg, time.Time{})
}

// Cron has msg come whenever the clock of zone, UTC if empty, matches expr: second, minute,
// hour, day of the month, month, day of the week from 0, Sunday; each *, or a list of
// 5, 1-5, */2, 10-30/5, jan, mon-fri. What was for the hour that is left out in spring
// does not come that day, and what was for the hour that autumn has twice comes twice.
// Needs NATS 2.14.
func (c *Calendar) Cron(ctx context.Context, id, expr, zone string, msg *nats.Msg) error {
	expr = strings.Join(strings.Fields(expr), " ")
	cron, err := parseCron(expr, zone)
	if err == nil && cron.Next(time.Now()).IsZero() {
		err = fmt.Errorf("%w: cron %.80q never comes", ErrWhen, expr)
	}
	if err != nil {
		return err
	}
	return c.plan(ctx, id, expr, zone, msg, time.Time{})
}

// Cancel reports whether something was planned that now will not come. For what is due at
// this moment, by our clock, it may be too late, so of that it reports false. Whatever it
// reports, what a call that has failed may still have under way is not planned any more.
func (c *Calendar) Cancel(ctx context.Context, id string) (cancelled bool, err error) {
	if err := checkID(id); err != nil {
		return false, err
	}
	var next time.Time
	err = c.change(ctx, id, func(last, plan *jetstream.RawStreamMsg) (*nats.Msg, error) {
		if plan != nil {
			next = planned(plan, last).Next
		} else if last != nil && last.Subject == subject(c.name, id, "due") {
			next = time.Time{} // it came while we tried
		}
		m := nats.NewMsg(subject(c.name, id, "cancelled"))
		m.Header.Set(HeaderBy, c.js.Conn().Opts.Name)
		m.Header.Set(jetstream.MsgTTLHeader, max(c.cfg.Keep, week).String()) // an order may be long under way
		return m, nil
	})
	if err != nil {
		return false, fmt.Errorf("schedule: cancel %s: %w", id, err)
	}
	return next.After(time.Now()), nil
}

// Consumer finds or creates the durable consumer of what is due, one for all instances
// of a service, each of which gets its share; another durable gets all again. The
// server takes 30s of silence for a death.
func (c *Calendar) Consumer(ctx context.Context, durable string) (jetstream.Consumer, error) {
	if err := checkID(durable); err != nil {
		return nil, err
	}
	want := jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: subject(c.name, "*", "due"), AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 30 * time.Second, MaxDeliver: -1, Metadata: maps.Clone(c.cfg.Metadata),
	}
	cons, err := ensure(ctx, consumerOf(c.stream, want.Durable), want, c.cfg.Bind)
	if err != nil {
		return nil, fmt.Errorf("schedule: calendar %s: %w", c.name, err)
	}
	return cons, nil
}
