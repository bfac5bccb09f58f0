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

// Entry is a scheduled message, or one that was due.
type Entry struct {
	ID     string
	When   string      // as in HeaderWhen
	By     string      // the name of the connection that scheduled it
	Next   time.Time   // when it is due; for a message that was due: the next time, or zero
	Header nats.Header // of the caller's message
	Data   []byte
}

// ReadEntry returns the Entry of a due message.
func ReadEntry(m jetstream.Msg) Entry { return parseEntry(m.Subject(), m.Headers(), m.Data()) }

// parseEntry returns the Entry of a message. Next is zero if the message was not due yet.
func parseEntry(subject string, h nats.Header, data []byte) Entry {
	e := Entry{When: h.Get(HeaderWhen), By: h.Get(HeaderBy), Header: callerHeader(h), Data: data}
	if tokens := strings.Split(subject, "."); len(tokens) > 2 {
		e.ID = tokens[2]
	}
	e.Next, _ = time.Parse(time.RFC3339Nano, h.Get(headerNext)) // "purge" after the last time
	return e
}

// callerHeader returns h without the headers of this package and the server.
func callerHeader(h nats.Header) nats.Header {
	h = maps.Clone(h)
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		return strings.HasPrefix(name, "Nats-") || name == HeaderWhen || name == HeaderBy
	})
	return h
}

// Get returns the message that is scheduled under id, or [ErrNotFound].
func (c *Calendar) Get(ctx context.Context, id string) (Entry, error) {
	if err := checkID(id); err != nil {
		return Entry{}, err
	}
	last, scheduled, err := c.find(ctx, id)
	if err != nil {
		return Entry{}, fmt.Errorf("schedule: get %s: %w", id, err)
	}
	if scheduled == nil {
		return Entry{}, fmt.Errorf("%w under %s", ErrNotFound, id)
	}
	return newEntry(scheduled, last), nil
}

// newEntry returns the Entry of a schedule; last is the last message of its ID.
func newEntry(scheduled, last *jetstream.RawStreamMsg) Entry {
	e := parseEntry(scheduled.Subject, scheduled.Header, scheduled.Data)
	when := scheduled.Header.Get(jetstream.ScheduleHeader)
	if last.Header.Get(headerScheduler) == scheduled.Subject { // it was due before
		e.Next = parseEntry("", last.Header, nil).Next
	} else if at, ok := strings.CutPrefix(when, "@at "); ok {
		e.Next, _ = time.Parse(time.RFC3339Nano, at)
	} else if every, ok := strings.CutPrefix(when, "@every "); ok {
		d, _ := time.ParseDuration(every)
		if e.Next = scheduled.Time.Round(time.Second).Add(d); isRemoved(scheduled, e.Next) {
			e.Next = e.Next.Add((time.Since(e.Next)/d + 1) * d)
		}
	} else if cron, err := parseCron(when, scheduled.Header.Get(jetstream.ScheduleTimeZoneHeader)); err == nil {
		if e.Next = cron.Next(scheduled.Time); isRemoved(scheduled, e.Next) {
			e.Next = cron.Next(time.Now())
		}
	}
	e.Next = e.Next.UTC()
	return e
}

// isRemoved reports whether the message that was first due is older than MaxAge.
func isRemoved(scheduled *jetstream.RawStreamMsg, first time.Time) bool {
	maxAge, err := time.ParseDuration(scheduled.Header.Get(jetstream.ScheduleTTLHeader))
	return err == nil && time.Since(first) > maxAge
}

// List returns all scheduled messages, ordered by time. It makes a request for each.
func (c *Calendar) List(ctx context.Context) (entries []Entry, err error) {
	info, err := callAPI(ctx, func(ctx context.Context) (*jetstream.StreamInfo, error) {
		return c.stream.Info(ctx, jetstream.WithSubjectFilter(subject(c.name, "*", "plan.*")))
	})
	if err != nil {
		return nil, fmt.Errorf("schedule: list: %w", err)
	}
	for subject := range info.State.Subjects {
		e, err := c.Get(ctx, parseEntry(subject, nil, nil).ID)
		if errors.Is(err, ErrNotFound) { // it was due or cancelled meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Or(a.Next.Compare(b.Next), strings.Compare(a.ID, b.ID)) })
	return entries, nil
}
