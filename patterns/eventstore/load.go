package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// errTooMany is the server's refusal to search more than 1,024 subjects.
var errTooMany = errors.New("413 Too Many Results")

// Load yields the events of an entity after a version, in order; all for the zero
// Version. It yields nothing for an entity without events. Any replica can reply, so
// the latest events can be missing: Append detects that. There are no gaps.
func (s *Store) Load(ctx context.Context, id string, after Version) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		p, err := page{more: true}, checkID(id)
		for p.more && err == nil {
			p, err = retry(ctx, s, func(ctx context.Context) (page, error) { return s.readPage(ctx, id, after) })
			for _, e := range p.events {
				if !yield(e, nil) {
					return
				}
				after = e.Version
			}
		}
		if err != nil {
			yield(Event{}, wrap(err, "load "+id))
		}
	}
}

// page is a part of a history, and whether there are events after it.
type page struct {
	events []Event
	more   bool
}

func (s *Store) readPage(ctx context.Context, id string, after Version) (page, error) {
	p, err := s.directGet(ctx, `"multi_last":["`+s.entitySubject(id)+`"]`, after)
	if errors.Is(err, errTooMany) { // this scans the stream instead of its subject index
		return s.directGet(ctx, `"next_by_subj":"`+s.entitySubject(id)+`"`, after)
	}
	return p, err
}

// directGet reads a page with one request. Any replica can reply.
func (s *Store) directGet(ctx context.Context, filter string, after Version) (p page, err error) {
	body := fmt.Appendf(nil, `{"seq":%d,%s,"batch":256,"max_bytes":8000000}`, after.Seq+1, filter)
	inbox := s.js.Conn().NewInbox()
	sub, err := s.js.Conn().SubscribeSync(inbox)
	if err != nil {
		return page{}, err
	}
	defer sub.Unsubscribe() // fails only if the connection is closed
	if err := s.js.Conn().PublishRequest(apiSubject(s.js, "DIRECT.GET."+streamName(s.name)), inbox, body); err != nil {
		return page{}, err
	}
	for previous := "0"; ; previous = strconv.FormatUint(after.Seq, 10) {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return page{}, err
		}
		switch status := m.Header.Get("Status"); {
		case status == "404": // no event
			return page{}, nil
		case status == "413":
			return page{}, errTooMany
		case status != "" && status != "204":
			return page{}, errors.New(status + " " + m.Header.Get("Description"))
		case m.Header.Get("Nats-Last-Sequence") != previous:
			return page{}, errUnknown
		case status != "": // the end
			p.more = m.Header.Get("Nats-Num-Pending") != "0"
			return p, nil
		}
		seq, err1 := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		at, err2 := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
		e, err3 := parse(m.Header.Get(jetstream.SubjectHeader), m.Header, m.Data, seq, at)
		if err := errors.Join(err1, err2, err3); err != nil {
			return page{}, err
		}
		if e.Version.N != after.N+1 && e.Type != Deleted { // events before a tombstone can be erased
			return page{}, fmt.Errorf("%w: %s goes from version %d to %d", ErrGap, e.Entity, after.N, e.Version.N)
		}
		p.events, after = append(p.events, e), e.Version
	}
}

// lastEvent returns the last event of a subject; the zero Event if there is none.
func (s *Store) lastEvent(ctx context.Context, subject string) (Event, error) {
	m, err := lastMessage(ctx, s.js, streamName(s.name), subject)
	if err != nil || m == nil {
		return Event{}, err
	}
	return parse(m.Subject, m.Header, m.Data, m.Sequence, m.Time)
}
