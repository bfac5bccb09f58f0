package schedule

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Plan is what a calendar holds under an id.
type Plan struct {
	ID     string
	When   string      // as in HeaderWhen
	By     string      // the name of the connection that planned it
	Next   time.Time   // when it comes; of what has come, when it comes again, zero if it does not
	Header nats.Header // as given by who planned it
	Data   []byte
}

// Read reads the plan of a message that has come.
func Read(m jetstream.Msg) Plan { return read(m.Subject(), m.Headers(), m.Data()) }

func read(subject string, h nats.Header, data []byte) Plan {
	p := Plan{When: h.Get(HeaderWhen), By: h.Get(HeaderBy), Header: own(h), Data: data}
	if tokens := strings.Split(subject, "."); len(tokens) > 2 {
		p.ID = tokens[2]
	}
	p.Next, _ = time.Parse(time.RFC3339Nano, h.Get(headerNext)) // or "purge", of what does not come again
	return p
}

// own leaves out what we and the server have written.
func own(h nats.Header) nats.Header {
	h = maps.Clone(h)
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		return strings.HasPrefix(name, "Nats-") || name == HeaderWhen || name == HeaderBy
	})
	return h
}

// Next returns what is planned under id; [ErrNone] if nothing is.
func (c *Calendar) Next(ctx context.Context, id string) (Plan, error) {
	if err := checkID(id); err != nil {
		return Plan{}, err
	}
	last, plan, err := c.look(ctx, id)
	if err != nil {
		return Plan{}, fmt.Errorf("schedule: next %s: %w", id, err)
	}
	if plan == nil {
		return Plan{}, fmt.Errorf("%w under %s", ErrNone, id)
	}
	return planned(plan, last), nil
}

// planned reads a plan; last is the last message of its id.
func planned(plan, last *jetstream.RawStreamMsg) Plan {
	p := read(plan.Subject, plan.Header, plan.Data)
	when := plan.Header.Get(jetstream.ScheduleHeader)
	if last.Header.Get(headerScheduler) == plan.Subject { // it has come before
		p.Next = read("", last.Header, nil).Next
	} else if at, ok := strings.CutPrefix(when, "@at "); ok {
		p.Next, _ = time.Parse(time.RFC3339Nano, at)
	} else if every, ok := strings.CutPrefix(when, "@every "); ok {
		d, _ := time.ParseDuration(every)
		if p.Next = plan.Time.Round(time.Second).Add(d); forgotten(plan, p.Next) {
			p.Next = p.Next.Add((time.Since(p.Next)/d + 1) * d)
		}
	} else if cron, err := parseCron(when, plan.Header.Get(jetstream.ScheduleTimeZoneHeader)); err == nil {
		if p.Next = cron.Next(plan.Time); forgotten(plan, p.Next) {
			p.Next = cron.Next(time.Now())
		}
	}
	p.Next = p.Next.UTC()
	return p
}

// forgotten reports whether what came of a plan at first is kept no longer.
func forgotten(plan *jetstream.RawStreamMsg, first time.Time) bool {
	keep, err := time.ParseDuration(plan.Header.Get(jetstream.ScheduleTTLHeader))
	return err == nil && time.Since(first) > keep
}

// List returns all that is planned, what comes first first. It asks for each, one by one.
func (c *Calendar) List(ctx context.Context) (plans []Plan, err error) {
	info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return c.stream.Info(ctx, jetstream.WithSubjectFilter(subject(c.name, "*", "plan.*")))
	})
	if err != nil {
		return nil, fmt.Errorf("schedule: list: %w", err)
	}
	for subject := range info.State.Subjects {
		p, err := c.Next(ctx, read(subject, nil, nil).ID)
		if err == nil {
			plans = append(plans, p)
		} else if !errors.Is(err, ErrNone) { // it has come meanwhile
			return nil, err
		}
	}
	slices.SortFunc(plans, func(a, b Plan) int { return cmp.Or(a.Next.Compare(b.Next), strings.Compare(a.ID, b.ID)) })
	return plans, nil
}
