package eventstore

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Deleted is the type of a tombstone. Appending one deletes the entity: its
// history stays, and whoever reads it or subscribes learns that it has ended.
const Deleted = "deleted"

// Version is the state of an entity that an event led to. The zero Version is that
// of an entity without events. Take it from the store, never invent one.
type Version struct {
	N   uint64 `json:"n"`   // counts the events of the entity, without gaps
	Seq uint64 `json:"seq"` // where its last event is in the stream; grows, with gaps
}

// Event is a fact about one entity. Entity, Version and Time are the store's to set.
type Event struct {
	ID      string          // names this very event, whoever appends it and however often
	Type    string          // what happened, in the past tense
	Data    json.RawMessage // how it happened
	Entity  string
	Version Version
	Time    time.Time // when the server stored it, by the server's clock
}

// NewEvent returns an event to append, with data as JSON, or none if data is nil.
// Its id is what makes a retry harmless: derive it from the command it answers, and
// even a restarted process can retry. An empty id is replaced by a random one, and
// then only this very Event can be appended again.
func NewEvent(id, kind string, data any) (Event, error) {
	e := Event{ID: id, Type: kind}
	if id == "" {
		e.ID = rand.Text()
	}
	if data != nil {
		var err error
		if e.Data, err = json.Marshal(data); err != nil {
			return Event{}, fmt.Errorf("%w: %s: %w", ErrEvent, kind, err)
		}
	}
	return e, e.check()
}

func (e Event) check() error {
	if err := checkID(e.ID); err != nil {
		return fmt.Errorf("%w: ID: %w", ErrEvent, err)
	}
	if err := checkID(e.Type); err != nil {
		return fmt.Errorf("%w: Type: %w", ErrEvent, err)
	}
	return nil
}

// Decode reads the data into v. Fields that v does not have are ignored: events
// outlive the code that wrote them.
func (e Event) Decode(v any) error {
	if err := json.Unmarshal(e.Data, v); err != nil {
		return fmt.Errorf("%w: %s %s at %d: %w", ErrEvent, e.Entity, e.Type, e.Version.Seq, err)
	}
	return nil
}

const hdrID = "Event-Id" // the rest is in the subject, where NATS can filter on it

func (s *Store) message(e Event) *nats.Msg {
	subject := s.event(e.Entity, strconv.FormatUint(e.Version.N, 10), e.Type)
	return &nats.Msg{Subject: subject, Data: e.Data, Header: nats.Header{hdrID: {e.ID}}}
}

func parse(subject string, h nats.Header, data []byte, seq uint64, at time.Time) (Event, error) {
	token := strings.Split(subject, ".")
	if len(token) == 5 && h.Get(hdrID) != "" {
		if n, err := strconv.ParseUint(token[3], 10, 64); err == nil {
			return Event{ID: h.Get(hdrID), Type: token[4], Data: data, Entity: token[2], Version: Version{n, seq}, Time: at}, nil
		}
	}
	return Event{}, fmt.Errorf("%w: message %d on %s is not from this package; purge that subject", ErrEvent, seq, subject)
}
