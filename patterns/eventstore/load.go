package eventstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	pageEvents = 256
	pageBytes  = 8 << 20
)

// errMany is the server's refusal to look through more than 1,024 subjects.
var errMany = errors.New("413 Too Many Results")

// Load yields the events of an entity after a version, in order; the zero Version
// means all. An entity without events yields nothing. What is yielded may end short
// of the latest events, because any replica may answer, but never has a hole:
// whether it was current is decided by Append, not by reading.
func (s *Store) Load(ctx context.Context, id string, after Version) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if err := checkID(id); err != nil {
			yield(Event{}, err)
			return
		}
		for more := true; more; {
			var page []Event
			var err error
			if page, more, err = s.page(ctx, id, after); err != nil {
				yield(Event{}, edge(err, "load "+id))
				return
			}
			for _, e := range page {
				if !yield(e, nil) {
					return
				}
				after = e.Version
			}
		}
	}
}

// page gets the next events and whether there are more.
func (s *Store) page(ctx context.Context, id string, after Version) (page []Event, more bool, err error) {
	err = s.retry(ctx, func(ctx context.Context) error {
		for range 2 { // a reconnect in the middle of an answer makes a gap too
			page, more, err = s.fetch(ctx, []string{s.events(id)}, after)
			if errors.Is(err, errMany) {
				page, more, err = s.fetchNumbered(ctx, id, after)
			}
			if !errors.Is(err, ErrGap) {
				break
			}
		}
		return err
	})
	return page, more, err
}

// fetchNumbered reads a page of a long history, naming each event.
func (s *Store) fetchNumbered(ctx context.Context, id string, after Version) (page []Event, more bool, err error) {
	for from := after.N + 1; from > 0; {
		var filters []string
		for i := range uint64(pageEvents) {
			filters = append(filters, s.nth(id, from+i))
		}
		page, more, err = s.fetch(ctx, filters, after)
		if err != nil || len(page) > 0 {
			return page, more || len(page) == pageEvents, err
		}
		// None of that number: the end, or erased up to a later one.
		head, err := s.leader(ctx, getRequest{LastFor: s.events(id)})
		if err != nil || head.Version.Seq <= after.Seq {
			return nil, false, err
		}
		next, err := s.leader(ctx, getRequest{Seq: after.Seq + 1, NextFor: s.events(id)})
		if err != nil {
			return nil, false, err
		}
		from = next.Version.N
	}
	return nil, false, nil
}

// getRequest asks for one message, or for the last of each of many subjects.
type getRequest struct {
	Seq       uint64   `json:"seq,omitempty"`
	LastFor   string   `json:"last_by_subj,omitempty"`
	NextFor   string   `json:"next_by_subj,omitempty"`
	MultiLast []string `json:"multi_last,omitempty"`
	Batch     int      `json:"batch,omitempty"`
	MaxBytes  int      `json:"max_bytes,omitempty"`
}

// fetch reads a page with one request, a direct get, which any replica answers and
// which needs no consumer.
func (s *Store) fetch(ctx context.Context, filters []string, after Version) (page []Event, more bool, err error) {
	nc := s.js.Conn()
	body, err := json.Marshal(getRequest{Seq: after.Seq + 1, MultiLast: filters, Batch: pageEvents, MaxBytes: pageBytes})
	if err != nil {
		return nil, false, err
	}
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, false, err
	}
	defer sub.Unsubscribe() // fails only with the connection
	if err := nc.PublishRequest(s.api("DIRECT.GET."), inbox, body); err != nil {
		return nil, false, err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, err
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case "204": // the end
			return page, m.Header.Get("Nats-Num-Pending") != "0", nil
		case "404": // nothing
			return nil, false, nil
		case "413":
			return nil, false, errMany
		case "503":
			return nil, false, nats.ErrNoResponders
		default:
			return nil, false, errors.New(status + " " + m.Header.Get("Description"))
		}
		seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		at, err2 := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
		if err := errors.Join(err, err2); err != nil {
			return nil, false, err
		}
		e, err := parse(m.Header.Get(jetstream.SubjectHeader), m.Header, m.Data, seq, at)
		if err != nil {
			return nil, false, err
		}
		if e.Version.N != after.N+1 && e.Type != Deleted { // what comes before a tombstone may be erased
			return nil, false, fmt.Errorf("%w: %s goes from version %d to %d", ErrGap, e.Entity, after.N, e.Version.N)
		}
		page, after = append(page, e), e.Version
	}
}

// leader gets one event from the leader of the stream; the zero Event if there is none.
func (s *Store) leader(ctx context.Context, req getRequest) (Event, error) {
	m, err := s.get(ctx, req)
	if err != nil || m == nil {
		return Event{}, err
	}
	return parse(m.Subject, m.Header, m.Data, m.Sequence, m.Time)
}

// get gets one message, or nil, from the leader of the stream, which is never
// behind. (GetMsg of nats.go asks any replica.)
func (s *Store) get(ctx context.Context, req getRequest) (*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	reply, err := s.js.Conn().RequestWithContext(ctx, s.api("STREAM.MSG.GET."), body)
	if err != nil {
		return nil, err
	}
	var resp struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Hdrs    []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &resp); err != nil {
		return nil, err
	}
	if resp.Error != nil {
		if resp.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound {
			return nil, nil
		}
		return nil, resp.Error
	}
	m := resp.Message
	h, err := nats.DecodeHeadersMsg(m.Hdrs)
	if err != nil {
		h = nil // whoever reads it says what is missing
	}
	return &jetstream.RawStreamMsg{Subject: m.Subject, Sequence: m.Seq, Header: h, Data: m.Data, Time: m.Time}, nil
}

func (s *Store) api(call string) string {
	prefix, o := "$JS.API.", s.js.Options()
	if o.APIPrefix != "" {
		prefix = o.APIPrefix + "."
	} else if o.Domain != "" {
		prefix = "$JS." + o.Domain + ".API."
	}
	return prefix + call + s.stream.CachedInfo().Config.Name
}
