package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Plan is what a calendar holds under an id.
type Plan struct {
	ID     string
	When   string    // as in HeaderWhen
	By     string    // the name of the connection that planned it
	Next   time.Time // when it comes; of what has come, when it comes again, zero if it does not
	Header nats.Header
	Data   []byte
}

// Read reads the plan of a message that has come.
func Read(m jetstream.Msg) Plan { return read(m.Subject(), m.Headers(), m.Data()) }

func read(subject string, h nats.Header, data []byte) Plan {
	p := Plan{When: h.Get(HeaderWhen), By: h.Get(HeaderBy), Header: h, Data: data}
	if tokens := strings.Split(subject, "."); len(tokens) > 2 {
		p.ID = tokens[2]
	}
	p.Next, _ = time.Parse(time.RFC3339Nano, h.Get(headerNext)) // or "purge", of what does not come again
	return p
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
		p.Next = plan.Time.Round(time.Second).Add(d)
	} else if cron, err := parseCron(when, plan.Header.Get(jetstream.ScheduleTimeZoneHeader)); err == nil {
		p.Next = cron.next(plan.Time)
	}
	p.Next = p.Next.UTC()
	return p
}

// look gets the last message of id, and that by which something is planned, or nil.
func (c *Calendar) look(ctx context.Context, id string) (last, plan *jetstream.RawStreamMsg, err error) {
	get := func(what string) (*jetstream.RawStreamMsg, error) {
		m, err := ask(ctx, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
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
	cons, err := ensureConsumer(ctx, c.stream, want, c.cfg.Bind, func(have jetstream.ConsumerConfig) []need {
		return []need{
			{"FilterSubject", want.FilterSubject, have.FilterSubject}, {"AckPolicy", want.AckPolicy, have.AckPolicy},
			{"MaxDeliver", want.MaxDeliver, have.MaxDeliver},
		}
	})
	if err != nil {
		return nil, fmt.Errorf("schedule: calendar %s: %w", c.name, err)
	}
	return cons, nil
}
