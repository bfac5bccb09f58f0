package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// List returns all that is planned, what comes first first.
func (c *Calendar) List(ctx context.Context) ([]Plan, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	plans, err := c.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("schedule: list %s: %w", c.name, err)
	}
	slices.SortStableFunc(plans, func(a, b Plan) int { return a.Next.Compare(b.Next) })
	return plans, nil
}

func (c *Calendar) list(ctx context.Context) (plans []Plan, err error) {
	cons, err := c.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubjects: []string{subject(c.name, "*", "plan.*"), subject(c.name, "*", "due")},
	})
	if err != nil {
		return nil, err
	}
	info, err := cons.Info(ctx)
	if err != nil || info.NumPending == 0 {
		return nil, err
	}
	var all []*jetstream.RawStreamMsg
	due := map[string]*jetstream.RawStreamMsg{} // by the plan of which it came
	for left := info.NumPending; left > 0; {
		batch, err := cons.Fetch(int(min(left, 500)), jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return nil, err
			}
			left = meta.NumPending
			raw := &jetstream.RawStreamMsg{Subject: m.Subject(), Time: meta.Timestamp, Header: m.Headers(), Data: m.Data()}
			if by := raw.Header.Get(headerScheduler); raw.Header.Get(jetstream.ScheduleHeader) == "" {
				due[by] = raw
			} else {
				all = append(all, raw)
			}
		}
		if err := batch.Error(); err != nil || ctx.Err() != nil {
			return nil, errors.Join(err, ctx.Err())
		}
	}
	for _, m := range all {
		last := due[m.Subject]
		if last == nil {
			last = m
		}
		plans = append(plans, planned(m, last))
	}
	return plans, nil
}
